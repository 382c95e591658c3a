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
#include "agent/spool/log_repair.h"
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
    // What a power cut has torn is no damage.
    if (first && is_known && known->boot == boot_ && boot_ != 0) frames_repaired_ = repair_log(shared_->path);
    const bool broken = shared_->corrupt || shared_->vanished;
    auto totals = broken ? SqlResult<Totals>() : open_file();
    const bool has_gone_back = first && is_known && totals && known->totals.in > totals->in;
    // After a repair accounts and batches may be of different commits.
    if (first && totals && frames_repaired_ > 0)
        totals = count_rows(has_gone_back ? known->totals : *totals, totals->last_id);
    if (broken || (!totals && totals.error().corrupt()))
        if (auto done = replace_file(totals, known); !done) return done;
    if (totals && !first)
        if (auto done = recount(*totals, shared_->reading); !done) totals = std::unexpected(done.error());
    if (!totals) return unavailable(totals.error().within("cannot open the spool " + shared_->path));
    if (first && is_known && known->totals.in > totals->in) *totals = catch_up(*totals, known->totals);
    if (has_gone_back && !mark_waits_) mark_ = committed_mark_ = known->mark;
    if (has_gone_back || frames_repaired_ > 0) mark_waits_ = true;
    if (first) found_ = totals->events;
    if (first && known) lost_before_ = totals->damaged - std::min(totals->damaged, known->totals.damaged);
    // What a new file has of it may be less than what was committed to the old one.
    if (!first) mark_waits_ = true;
    ledger_.totals = *totals;
    ledger_.last_live_id = std::max(ledger_.last_live_id, highest_ids_[Lane::live]);
    for (Lane lane : lanes)
        shared_->lanes[lane].appended_through = std::max(highest_ids_[lane], first_id(lane) - 1);
    stall_.begin_file(highest_ids_[Lane::live], monotonic_nanos());
    shared_->merged.clear();
    heads_lost_ = false;
    shared_->inode = inode_of(shared_->path);
    shared_->accounts = {shared_->inode, ledger_.totals, ledger_.reading.released_through, committed_mark_,
                         boot_};
    database_.count_log_pages(shared_->log_pages);
    shared_->generation++;
    return {};
}

// What is known of the file beside it: by an earlier process or, once it was open, by this one.
std::optional<Accounts> Spool::known(const Reading& reading) const {
    if (shared_->generation == 0) {
        auto known = read_accounts(shared_->path);
        // A file that is gone is as good as one that cannot be read, and what another one has had delivered
        // says nothing.
        const uint64_t inode = inode_of(shared_->path);
        if (known && inode == 0) known->inode = 0;
        if (known && known->inode != inode) known->released_through = {};
        return known;
    }
    Accounts known{shared_->inode, ledger_.totals, reading.released_through, committed_mark_, boot_};
    known.totals.bytes -=
        std::min(known.totals.bytes, reading.released_bytes - ledger_.reading.released_bytes);
    return known;
}

// Sets the file aside, if it is still there, and begins a new one with what can be saved. Where that cannot
// be written, or there is no room for it, all stays as it is.
Result<> Spool::replace_file(SqlResult<Totals>& totals, const std::optional<Accounts>& known) {
    const bool vanished = shared_->vanished;
    uint64_t bytes = known ? known->totals.bytes : 0;
    if (struct stat status{}; !known && stat(shared_->path.c_str(), &status) == 0)
        bytes = static_cast<uint64_t>(status.st_size);
    if (auto room = has_room(shared_->path, bytes); !room) return room;
    statements_ = {};
    // A file whose name is gone can be read as long as it is open.
    Database old = vanished ? std::move(database_) : Database();
    database_ = {};
    if (!vanished && exists(shared_->path))
        if (auto opened = Database::open(shared_->path)) old = std::move(*opened);
    const uint64_t began = monotonic_nanos();
    const auto saved = copy_whole(old, !vanished, shared_->path, known);
    if (!saved) {
        if (vanished) database_ = std::move(old);
        failed_copy_ns_ = monotonic_nanos() - began;
        return unavailable(saved.error().within("cannot copy what is whole of the spool " + shared_->path));
    }
    old = {};
    auto aside = set_aside(shared_->path);
    if (!aside) return unavailable(std::move(aside.error()).within("cannot replace the spool"));
    if (!vanished) files_set_aside_++;
    if (std::rename(saved->c_str(), shared_->path.c_str()) != 0)
        return unavailable(fail_errno("cannot rename " + *saved, errno));
    shared_->corrupt = false;
    shared_->vanished = false;
    totals = open_file();
    return {};
}

// `totals`, when the file has just the rows that it has. Fewer than there were may be there all the same, and
// not be found this way: the file is no good then.
SqlResult<Totals> Spool::count_rows(const Totals& totals, uint64_t last_id) const {
    Query sum(statements_.sum, first_id(Lane::backlog), last_possible_id(Lane::live));
    if (auto row = sum.step(); !row) return std::unexpected(row.error());
    if (sum.integer(0) < totals.events) return std::unexpected(SqlError::malformed("batches are missing"));
    return totals.with(sum.integer(0), sum.integer(1), last_id);
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
        if (shared_->generation == 0) time_.begin_at((*newest)[lane].created_unix_nanos);
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
    shared_->memory.add({time_.now(), events, compressor_.pack(builder.take()), lane, monotonic_nanos()});
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
        shared_->accounts = {shared_->inode, ledger.totals, ledger.reading.released_through,
                             ledger.mark_written ? mark_ : shared_->accounts.mark, boot_};
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
