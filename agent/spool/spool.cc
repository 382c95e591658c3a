// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/spool.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <utility>

#include "agent/base/clock.h"
#include "agent/spool/lock.h"
#include "agent/spool/replacement.h"
#include "agent/spool/schema.h"

namespace tcptrail::spool {
namespace {

constexpr size_t max_marks_to_sync = 64;
constexpr uint64_t shortest_retry_delay_ns = 100'000'000;
constexpr uint64_t longest_retry_delay_ns = 5'000'000'000;
constexpr uint64_t rest_after_copy = 20;           // times as long as it took
constexpr uint64_t least_bound_bytes = 32u << 20;  // more than the reader takes at a time

// It may pass: the spool goes on in memory.
std::unexpected<Error> unavailable(std::unexpected<Error> problem) {
    problem.error().code = ExitCode::unavailable;
    return problem;
}
std::unexpected<Error> unavailable(Error problem) {
    return unavailable(std::unexpected(std::move(problem)));
}

// By lane; ids of 0: no rows. Not both, where some are expected.
SqlResult<PerLane<RowHead>> newest_rows(Database& database, bool expected) {
    const std::string sql =
        fmt::format("SELECT {} FROM batch WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1", head_columns);
    auto newest = database.prepare(sql.c_str());
    if (!newest) return std::unexpected(newest.error());
    PerLane<RowHead> heads;
    bool damaged = false;
    for (Lane lane : lanes) {
        Query query(*newest, first_id(lane), last_possible_id(lane));
        auto found = query.step();
        if (!found) return std::unexpected(found.error());
        const Row row = *found ? read_head(query) : Row();
        heads[lane] = row.head;
        damaged = damaged || (*found && !row.head_whole);
        expected = expected && !*found;
    }
    if (damaged || expected) return std::unexpected(SqlError::malformed("the newest batch is damaged"));
    return heads;
}

constexpr const char* scarce_text =
    "the disk is nearly full (spool.min_free_bytes): the spool does not grow, and its oldest events make "
    "room for new ones; free the disk, or set another spool.directory";

uint64_t file_size(const std::string& path) {
    struct stat status{};
    return stat(path.c_str(), &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
}

uint64_t inode_of(const std::string& path) {
    struct stat status{};
    return stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

}  // namespace

Result<std::unique_ptr<Spool>> Spool::open(const Options& options) {
    if (!options.directory.starts_with('/'))
        return fail("spool.directory: " + options.directory + " is not an absolute path",
                    ExitCode::configuration);
    std::unique_ptr<Spool> spool(new Spool(options));
    spool->shared_ = std::make_shared<Shared>();
    Shared& shared = *spool->shared_;
    shared.wake.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    shared.sync_wake.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!shared.wake.valid() || !shared.sync_wake.valid()) return fail_errno("cannot make an eventfd", errno);
    shared.max_taken_bytes = options.max_bytes / 2;
    shared.max_taken_memory = options.memory_bytes / 2;

    const auto attached = spool->attach();
    if (!attached && attached.error().code != ExitCode::unavailable) return std::unexpected(attached.error());
    spool->note_outcome(attached);
    spool->publish();
    auto checkpointer = Checkpointer::start(spool->shared_, options);
    if (!checkpointer) return std::unexpected(checkpointer.error());
    spool->checkpointer_ = std::move(*checkpointer);
    return spool;
}

Spool::~Spool() {
    (void)finish();
}

// The folder, and the lock in it. ExitCode::unavailable: this may pass.
Result<> Spool::find_place() {
    struct stat status{};
    // A lock in a folder that was removed is none.
    if (shared_->lock.valid() && fstat(shared_->lock.get(), &status) == 0 && status.st_nlink > 0) return {};
    auto lock = lock_directory(options_.directory);
    if (!lock) return std::unexpected(lock.error());
    shared_->lock = std::move(*lock);
    std::error_code problem;
    // A directory behind a symbolic link is as good as any; a file behind one is not.
    auto directory = std::filesystem::canonical(options_.directory, problem);
    if (problem) return unavailable(fail_errno("cannot find " + options_.directory, problem.value()));
    // Others read it without a lock once there is a file.
    if (shared_->generation == 0) shared_->path = directory / "spool.db";
    return {};
}

// Opens the file, and begins a new one with what can be saved if it is no good. The error has
// ExitCode::unavailable when it is one of the disk.
Result<> Spool::attach() {
    // The reader takes nothing meanwhile: what it could read is not told as lost.
    MutexLock turn(shared_->turn);
    MutexLock lock(shared_->mutex);
    if (auto found = find_place(); !found) return found;
    const bool first = shared_->generation == 0;
    if (!database_ && finish_replacement(shared_->path)) shared_->corrupt = shared_->vanished = false;
    const auto known = this->known(shared_->reading);
    const bool is_known = known && known->inode == inode_of(shared_->path);
    if (first && is_known) begin_time(*known);
    const bool broken = shared_->corrupt || shared_->vanished;
    if (first && is_known && !database_)
        if (auto done = look_behind_damage(*known); !done) return done;
    auto totals = broken ? SqlResult<Totals>() : open_file();
    const bool is_replaced = broken || (!totals && totals.error().corrupt());
    if (is_replaced)
        if (auto done = replace_file(totals, known); !done) return done;
    const bool has_gone_back = first && is_known && totals && known->totals.in > totals->in;
    if (has_gone_back) {
        *totals = catch_up(*totals, known->totals);
        if (!mark_waits_) mark_ = committed_mark_ = known->mark;
    }
    if (totals && !first)
        if (auto done = recount(*totals, shared_->reading); !done) totals = std::unexpected(done.error());
    if (!totals) return unavailable(totals.error().within("cannot open the spool " + shared_->path));
    if (first) found_ = totals->events;
    if (first) opened_created_ = shared_->time.now();
    if (first && known && (is_known || is_replaced))
        lost_before_ = totals->damaged - std::min(totals->damaged, known->totals.damaged);
    // What a new file has of it may be less than what was committed to the old one.
    if (!first || has_gone_back) mark_waits_ = true;
    ledger_.totals = *totals;
    ledger_.last_live_id = std::max(ledger_.last_live_id, highest_ids_[Lane::live]);
    for (Lane lane : lanes) {
        shared_->lanes[lane].appended_through = std::max(highest_ids_[lane], first_id(lane) - 1);
        if (first && is_known) ledger_.delivered_created[lane] = known->delivered[lane].created_unix_nanos;
    }
    stall_.begin_file(highest_ids_[Lane::live], monotonic_nanos());
    shared_->merged.clear();
    heads_lost_ = false;
    shared_->inode = inode_of(shared_->path);
    // Until the next commit the file has not caught up.
    shared_->accounts = has_gone_back ? *known : accounts_of(ledger_, committed_mark_);
    shared_->accounts.inode = shared_->inode;
    database_.count_log_pages(shared_->log_pages);
    shared_->generation++;
    return {};
}

// Before anything is appended: as the time of who wrote the file went.
void Spool::begin_time(const Accounts& known) {
    if (known.boot == boot_ && boot_ != 0) shared_->time.continue_from(known.unix_nanos_at_boot);
    for (Lane lane : lanes)
        shared_->time.begin_at(known.delivered[lane].created_unix_nanos, boot_nanos());
}

// What is known of the file beside it: by an earlier process or, once it was open, by this one.
std::optional<Accounts> Spool::known(const Reading& reading) const {
    if (shared_->generation == 0) {
        auto known = read_accounts(shared_->path);
        // A file that is gone is as good as one that cannot be read, and what another one has had delivered
        // says nothing.
        const uint64_t inode = inode_of(shared_->path);
        if (known && inode == 0) known->inode = 0;
        if (known && known->inode != inode) known->delivered = {};
        return known;
    }
    Accounts known = accounts_of(ledger_, committed_mark_);
    const Reading& before = ledger_.reading;
    known.totals.bytes -= std::min(known.totals.bytes, reading.released_bytes - before.released_bytes);
    known.totals.events -= std::min(known.totals.events, reading.released_events - before.released_events);
    for (Lane lane : lanes)
        known.delivered[lane].id = reading.released_through[lane];
    return known;
}

Accounts Spool::accounts_of(const Ledger& ledger, const std::string& mark) const {
    Accounts accounts;
    accounts.inode = shared_->inode;
    accounts.totals = ledger.totals;
    for (Lane lane : lanes)
        accounts.delivered[lane].created_unix_nanos = ledger.delivered_created[lane];
    accounts.mark = mark;
    accounts.boot = boot_;
    accounts.unix_nanos_at_boot = shared_->time.unix_nanos_at_boot();
    return accounts;
}

// What lies behind the damage of a log is looked for before anything is written to it, but not after another
// boot: what a power cut has torn is no damage.
Result<> Spool::look_behind_damage(const Accounts& known) {
    if (known.boot != boot_ || boot_ == 0 || !exists(shared_->path)) return {};
    copy_began_ns_ = monotonic_nanos();
    auto copy = copy_behind_damage(shared_->path, known, frames_repaired_);
    if (!copy) return copy_failed(copy.error());
    return copy->empty() ? Result<>() : take_copy(*copy);
}

std::unexpected<Error> Spool::copy_failed(const SqlError& error) {
    failed_copy_ns_ = monotonic_nanos() - copy_began_ns_;
    return unavailable(error.within("cannot copy what is whole of the spool " + shared_->path));
}

// Sets the file aside, if it is still there, and begins a new one with what can be saved. Where that cannot
// be written, or there is no room for it, all stays as it is.
Result<> Spool::replace_file(SqlResult<Totals>& totals, const std::optional<Accounts>& known) {
    const bool vanished = shared_->vanished;
    // What the file has, or what it should have: whichever is less.
    uint64_t bytes = known ? known->totals.bytes : std::numeric_limits<uint64_t>::max();
    if (!vanished && exists(shared_->path))
        bytes = std::min(bytes, file_size(shared_->path) + file_size(shared_->path + "-wal"));
    if (auto room = has_room(shared_->path, bytes); !room) return room;
    statements_ = {};
    // A file whose name is gone can be read as long as it is open.
    Database old = vanished ? std::move(database_) : Database();
    database_ = {};
    if (!vanished && exists(shared_->path))
        if (auto opened = Database::open(shared_->path)) old = std::move(*opened);
    copy_began_ns_ = monotonic_nanos();
    const auto copy = copy_whole(old, !vanished, shared_->path, known);
    if (!copy) {
        if (vanished) database_ = std::move(old);
        return copy_failed(copy.error());
    }
    old = {};
    if (auto done = take_copy(*copy); !done) return done;
    totals = open_file();
    return {};
}

// The second and third step of a replacement.
Result<> Spool::take_copy(const std::string& copy) {
    const bool there = exists(shared_->path);
    auto aside = set_aside(shared_->path);
    if (!aside) return unavailable(std::move(aside.error()).within("cannot replace the spool"));
    if (there) files_set_aside_++;
    if (std::rename(copy.c_str(), shared_->path.c_str()) != 0)
        return unavailable(fail_errno("cannot rename " + copy, errno));
    shared_->corrupt = false;
    shared_->vanished = false;
    return {};
}

// What the file answers for once it has been replaced: the rows that are nobody else's, and all that the
// reader has, though its rows may be gone. The accounts are known better than the file knows them.
SqlResult<> Spool::recount(Totals& totals, const Reading& reading) {
    uint64_t events = reading.taken_events + reading.released_events - ledger_.reading.released_events;
    uint64_t bytes = reading.taken_bytes + reading.released_bytes - ledger_.reading.released_bytes;
    std::vector<Range> own = evicting_;
    for (Lane lane : lanes)
        own.push_back({shared_->lanes[lane].claimed + 1, last_possible_id(lane), &Totals::events});
    for (const Range& ids : own) {
        Query sum(statements_.sum, ids.first, ids.last);
        if (auto row = sum.step(); !row) return std::unexpected(row.error());
        events += sum.integer(0);
        bytes += sum.integer(1);
    }
    totals = ledger_.totals.with(events, bytes, totals.last_id);
    return {};
}

SqlResult<Totals> Spool::open_file() {
    statements_ = {};
    database_ = {};
    auto database = open_store(shared_->path);
    if (!database) return std::unexpected(database.error());
    auto totals = read_totals(*database);
    if (!totals) return totals;
    // The newest batch tells how far to read, and what ids are taken.
    auto newest = newest_rows(*database, totals->events > 0);
    if (!newest) return std::unexpected(newest.error());
    for (Lane lane : lanes) {
        highest_ids_[lane] = (*newest)[lane].id;
        if (shared_->generation == 0)
            shared_->time.begin_at((*newest)[lane].created_unix_nanos, boot_nanos());
    }
    totals->last_id = std::max(totals->last_id, highest_ids_[Lane::backlog]);
    const std::string remove =
        fmt::format("DELETE FROM batch WHERE id BETWEEN ?1 AND ?2 RETURNING {}", head_columns);
    const std::pair<Statement&, const char*> wanted[] = {
        {statements_.begin, "BEGIN IMMEDIATE"},
        {statements_.commit, "COMMIT"},
        {statements_.rollback, "ROLLBACK"},
        {statements_.insert, insert_into_batch},
        {statements_.remove, remove.c_str()},
        {statements_.unclaimed,
         "SELECT id, bytes, created_unix_nanos FROM batch WHERE id > ?1 AND id <= ?2 ORDER BY id"},
        {statements_.sum, "SELECT sum(events), sum(bytes) FROM batch WHERE id BETWEEN ?1 AND ?2"},
        {statements_.totals, update_totals},
        {statements_.mark, update_mark},
        {statements_.set_aside, insert_into_set_aside},
        {statements_.trim, trim_set_aside},
    };
    for (auto& [statement, sql] : wanted) {
        auto prepared = database->prepare(sql);
        if (!prepared) return std::unexpected(prepared.error());
        statement = std::move(*prepared);
    }
    if (shared_->generation == 0) {
        auto mark = read_mark(*database);
        if (!mark) return std::unexpected(mark.error());
        committed_mark_ = std::move(*mark);
        // A newer one may wait already, of what came before the file could be opened.
        if (!mark_waits_) mark_ = committed_mark_;
    }
    database_ = std::move(*database);
    return totals;
}

Result<> Spool::append(std::span<const Message> messages, std::string_view mark) {
    look_at_lanes();
    const bool has_backlog = this->has_backlog();
    PerLane<PayloadBuilder> builders;
    for (const Message& message : messages) {
        const Lane lane = choose_lane(message, has_backlog);
        builders[lane].add(message);
        if (builders[lane].bytes() >= max_batch_bytes) seal(builders[lane], lane);
    }
    for (Lane lane : lanes)
        if (builders[lane].events() > 0) seal(builders[lane], lane);
    // The same again is no reason to write.
    if (!mark.empty() && mark != mark_ && mark.size() <= max_mark_bytes) {
        mark_ = mark;
        mark_waits_ = true;
    }
    auto done = flush();
    if (mark.size() > max_mark_bytes)
        return fail(fmt::format("a mark of {} bytes is too long for the spool", mark.size()));
    return done;
}

Result<> Spool::maintain() {
    look_at_lanes();
    return flush();
}

void Spool::look_at_lanes() {
    stall_.look(shared_->lanes[Lane::live].claimed, shared_->memory.waiting_since(Lane::live),
                monotonic_nanos());
}

// Also what the reader has of it counts: after a crash it would come behind what is in the live lane.
bool Spool::has_backlog() const {
    // What is in a file that could not be opened yet is not known.
    if (shared_->generation == 0 || shared_->memory.sums().backlog_batches > 0) return true;
    MutexLock lock(shared_->mutex);
    const LaneState& backlog = shared_->lanes[Lane::backlog];
    return backlog.claimed < backlog.appended_through || shared_->reading.taken_batches[Lane::backlog] > 0;
}

Lane Spool::choose_lane(const Message& message, bool has_backlog) const {
    if (!options_.live_first || stall_.stalled()) return Lane::backlog;
    // What was told earlier of this connection may be in the backlog: it goes behind it.
    return has_backlog && message.earlier_ns != 0 && message.earlier_ns <= stall_.flows_since()
               ? Lane::backlog
               : Lane::live;
}

void Spool::seal(PayloadBuilder& builder, Lane lane) {
    const uint64_t events = builder.events();
    last_created_ = std::max(last_created_ + 1, shared_->time.now());
    shared_->memory.add({last_created_, events, compressor_.pack(builder.take()), lane, monotonic_nanos()});
}

Result<> Spool::flush() {
    // On a disk that is nearly full the file stays as large as it is.
    if (shared_->scarce && bound_bytes_ == options_.max_bytes)
        bound_bytes_ =
            std::min(std::max({ledger_.totals.bytes, shared_->file_bytes / 8 * 7, least_bound_bytes}),
                     options_.max_bytes);
    if (!shared_->scarce) bound_bytes_ = options_.max_bytes;
    Result<> done;
    if (monotonic_nanos() >= retry_at_ns_) {
        done = store();
        note_outcome(done);
    }
    note_durable();
    dropped_ += shared_->memory.bound(options_.memory_bytes);
    publish();
    if (!done) return done;

    MutexLock lock(shared_->mutex);
    if (shared_->trouble.empty()) return {};
    return fail(std::exchange(shared_->trouble, {}));
}

// Writes all that there is to write, unless the file is somebody else's at this moment.
Result<> Spool::store() {
    if (shared_->corrupt || shared_->vanished || !database_)
        if (auto done = attach(); !done) return done;
    if (idle()) return {};
    if (!shared_->turn.try_lock()) {
        // A disk that takes so long is none.
        if (blocked_for_long()) hand_to_reader();
        return {};
    }
    shared_->memory.close();
    Ledger ledger = ledger_;
    auto written = write(ledger);
    if (written) {
        settle(ledger);
        written = merge();
    }
    if (!written) {
        (void)Query(statements_.rollback).run();
        if (written.error().corrupt()) shared_->corrupt = true;
        retry_soon_ = written.error().busy() || shared_->corrupt;
    }
    shared_->turn.unlock();
    // A reader that comes upon a header half written takes SQLite's lock for a moment, to look again.
    const bool busy = !written && written.error().busy();
    if (!busy) blocked_since_ns_ = 0;
    if (written || (busy && !blocked_for_long())) return {};
    return unavailable(written.error().within("cannot write to the spool " + shared_->path));
}

// To be asked where the file is somebody else's: whether it has been for longer than a moment.
bool Spool::blocked_for_long() {
    if (blocked_since_ns_ == 0) blocked_since_ns_ = monotonic_nanos();
    return monotonic_nanos() - blocked_since_ns_ > longest_turn_ns;
}

// A disk that fails is left alone for a while, and the reader delivers from memory meanwhile.
void Spool::note_outcome(const Result<>& done) {
    MutexLock lock(shared_->mutex);
    problem_ = done ? std::string() : done.error().message;
    retry_delay_ns_ =
        done ? 0 : std::clamp(retry_delay_ns_ * 2, shortest_retry_delay_ns, longest_retry_delay_ns);
    // A copy that cannot be finished may be much to write: the disk has a rest, too.
    const uint64_t rest_ns = std::exchange(failed_copy_ns_, 0) * rest_after_copy;
    // Another connection is in the way for moments only; a broken file is replaced.
    retry_at_ns_ = done || std::exchange(retry_soon_, false)
                       ? 0
                       : monotonic_nanos() + std::max(retry_delay_ns_, rest_ns);
    if (!done) hand_to_reader();
}

void Spool::hand_to_reader() {
    shared_->memory.open();
    const uint64_t one = 1;
    if (shared_->memory.sums().waiting_events > 0) (void)!::write(shared_->wake.get(), &one, sizeof(one));
}

void Spool::settle(const Ledger& ledger) {
    // The last id of a lane that got nothing may be that of a batch which is long gone.
    const bool has_live = ledger.last_live_id != ledger_.last_live_id;
    const bool has_backlog = ledger.totals.last_id != ledger_.totals.last_id;
    if (has_live) stall_.committed(ledger.last_live_id, monotonic_nanos());
    ledger_ = ledger;
    dropped_ = 0;
    evicting_.clear();
    damaged_ids_.clear();
    set_aside_.clear();
    shared_->commits.add();
    {
        MutexLock lock(shared_->mutex);
        shared_->accounts = accounts_of(ledger, ledger.mark_written ? mark_ : shared_->accounts.mark);
    }
    file_is_ahead_ = mark_waits_ && !ledger.mark_written && (file_is_ahead_ || has_live || has_backlog);
    if (ledger.mark_written) {
        marks_to_sync_.emplace_back(shared_->commits.get(), mark_);
        mark_waits_ = false;
    }
    // A disk that takes long: the marks between are not missed.
    if (marks_to_sync_.size() > max_marks_to_sync) marks_to_sync_.erase(marks_to_sync_.end() - 2);
    const uint64_t one = 1;
    if (options_.sync == Sync::full) (void)!::write(shared_->sync_wake.get(), &one, sizeof(one));
    if (!shared_->memory.written()) return;
    if (has_live) shared_->lanes[Lane::live].appended_through = ledger.last_live_id;
    if (has_backlog) shared_->lanes[Lane::backlog].appended_through = ledger.totals.last_id;
    // It can fail only when the reader has long been due to wake.
    (void)!::write(shared_->wake.get(), &one, sizeof(one));
}

// What is committed is safe from the end of the process; from a power cut only what is synced.
void Spool::note_durable() {
    const uint64_t durable = options_.sync == Sync::full ? shared_->synced.get() : shared_->commits.get();
    for (; !marks_to_sync_.empty() && marks_to_sync_.front().first <= durable; marks_to_sync_.pop_front())
        committed_mark_ = std::move(marks_to_sync_.front().second);
}

bool Spool::settled() const {
    const bool durable = options_.sync == Sync::normal || shared_->synced.get() >= shared_->commits.get();
    return shared_->memory.sums().held_events == 0 && !mark_waits_ && durable;
}

void Spool::publish() {
    const Totals& totals = ledger_.totals;
    const MemoryBuffer::Sums memory = shared_->memory.sums();
    // Those that the file does not know of yet.
    const uint64_t released = memory.released_events - ledger_.released_from_memory;
    counters_.found.set(found_);
    counters_.in.set(totals.in + memory.held_events + released + dropped_);
    const uint64_t too_large = memory.too_large_events - ledger_.too_large_from_memory;
    counters_.released.set(totals.released + released - too_large);
    counters_.too_large.set(totals.too_large + too_large);
    counters_.evicted.set(totals.evicted);
    counters_.expired.set(totals.expired);
    counters_.damaged.set(totals.damaged);
    counters_.memory_full.set(totals.memory_full + dropped_);
    counters_.held.set(totals.events + memory.held_events);
    shared_->stored_bytes = totals.bytes;
    counters_.held_bytes.set(totals.bytes + memory.held_bytes);
    counters_.memory_bytes.set(memory.held_bytes);
    counters_.files_set_aside.set(files_set_aside_);
}

SpoolStats Spool::stats() const {
    MutexLock lock(shared_->mutex);
    return {
        .found = counters_.found.get(),
        .in = counters_.in.get(),
        .released = counters_.released.get(),
        .too_large = counters_.too_large.get(),
        .evicted = counters_.evicted.get(),
        .expired = counters_.expired.get(),
        .damaged = counters_.damaged.get(),
        .memory_full = counters_.memory_full.get(),
        .held = counters_.held.get(),
        .held_bytes = counters_.held_bytes.get(),
        .memory_bytes = counters_.memory_bytes.get(),
        .files_set_aside = counters_.files_set_aside.get(),
        .lost_before = lost_before_,
        .frames_repaired = frames_repaired_,
        .problem = problem_.empty() && shared_->scarce ? scarce_text : problem_,
        .in_memory = !problem_.empty(),
    };
}

Result<std::unique_ptr<SpoolReader>> Spool::reader() {
    if (reader_given_) return fail("the spool has a reader already");
    auto reader = SpoolReader::open(shared_);
    reader_given_ = reader.has_value();
    return reader;
}

}  // namespace tcptrail::spool
