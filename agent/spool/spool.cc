// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/spool.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <limits>
#include <utility>

#include "agent/base/clock.h"
#include "agent/spool/lock.h"
#include "agent/spool/schema.h"

namespace tcptrail::spool {
namespace {

constexpr size_t max_marks_to_sync = 64;

// 0: no rows, where none are expected.
SqlResult<uint64_t> highest_id(Database& database, bool expected) {
    auto newest =
        database.prepare(fmt::format("SELECT {} FROM batch ORDER BY id DESC LIMIT 1", head_columns).c_str());
    if (!newest) return std::unexpected(newest.error());
    Query query(*newest);
    auto found = query.step();
    if (!found) return std::unexpected(found.error());
    const Row row = *found ? read_head(query) : Row();
    if (*found ? !row.head_whole : expected)
        return std::unexpected(SqlError::malformed("the newest batch is damaged"));
    return row.head.id;
}

}  // namespace

Result<std::unique_ptr<Spool>> Spool::open(const Options& options) {
    std::unique_ptr<Spool> spool(new Spool(options));
    auto lock = lock_directory(options.directory);
    if (!lock) return std::unexpected(lock.error());
    std::error_code problem;
    // A directory behind a symbolic link is as good as any; a file behind one is not.
    auto directory = std::filesystem::canonical(options.directory, problem);
    if (problem) return fail_errno("cannot find " + options.directory, problem.value());

    spool->shared_ = std::make_shared<Shared>();
    Shared& shared = *spool->shared_;
    shared.path = directory / "spool.db";
    shared.lock = std::move(*lock);
    shared.wake.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    shared.sync_wake.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!shared.wake.valid() || !shared.sync_wake.valid()) return fail_errno("cannot make an eventfd", errno);
    shared.max_taken_bytes = options.max_bytes / 2;

    if (auto done = spool->attach(false); !done) return std::unexpected(done.error());
    auto checkpointer = Checkpointer::start(spool->shared_, options.sync);
    if (!checkpointer) return std::unexpected(checkpointer.error());
    spool->checkpointer_ = std::move(*checkpointer);
    return spool;
}

Spool::~Spool() {
    // Nobody else writes any more: what had to wait for its turn is written now.
    checkpointer_.reset();
    if (database_) (void)flush();
}

// Opens the file, and begins a new one with what can be saved if it is no good. `broken`: it is known to be.
Result<> Spool::attach(bool broken) {
    // The reader takes nothing meanwhile: what it could read is not told as lost.
    MutexLock turn(shared_->turn);
    MutexLock lock(shared_->mutex);
    const bool first = shared_->generation == 0;
    auto totals = broken ? SqlResult<Totals>() : open_file();
    if (broken || (!totals && totals.error().corrupt())) {
        statements_ = {};
        database_ = {};
        auto aside = set_aside(shared_->path);
        if (!aside) return std::unexpected(Error(aside.error()).within("cannot replace the spool"));
        files_set_aside_++;
        shared_->corrupt = false;
        totals = open_file();
        // Without room for the copy, what could be saved stays in the file that was set aside.
        if (auto saved = totals ? salvage(*aside, database_) : Salvaged()) {
            if (totals) totals = saved->totals;
            highest_id_ = saved->highest_id;
            if (first) mark_ = committed_mark_ = std::move(saved->mark);
        }
    }
    if (totals && !first)
        if (auto done = recount(*totals, shared_->reading); !done) totals = std::unexpected(done.error());
    if (!totals) return totals.error().within("cannot open the spool " + shared_->path);

    if (first) found_ = totals->events;
    // What a new file has of it may be less than what was committed to the old one.
    if (!first) mark_waits_ = true;
    ledger_.totals = *totals;
    last_id_ = std::max(last_id_, totals->last_id);
    shared_->appended_through = highest_id_;
    database_.count_log_pages(shared_->log_pages);
    shared_->generation++;
    publish();
    return {};
}

// What the file answers for once it has been replaced: the rows that are nobody else's, and all that the
// reader has, though its rows may be gone. The accounts are known better than the file knows them.
SqlResult<> Spool::recount(Totals& totals, const Reading& reading) {
    uint64_t events = reading.taken_events + reading.released_events - ledger_.reading.released_events;
    uint64_t bytes = reading.taken_bytes + reading.released_bytes - ledger_.reading.released_bytes;
    std::vector<Range> own = evicting_;
    own.push_back({shared_->claimed + 1, std::numeric_limits<int64_t>::max(), &Totals::events});
    for (const Range& ids : own) {
        Query sum(statements_.sum, ids.first, ids.last);
        if (auto row = sum.step(); !row) return std::unexpected(row.error());
        events += sum.integer(0);
        bytes += sum.integer(1);
    }
    const uint64_t last_id = totals.last_id;
    totals = ledger_.totals;
    if (events > totals.events)
        totals.in += events - totals.events;
    else
        totals.damaged += totals.events - events;
    totals.events = events;
    totals.bytes = bytes;
    totals.last_id = last_id;
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
    auto highest = highest_id(*database, totals->events > 0);
    if (!highest) return std::unexpected(highest.error());
    highest_id_ = *highest;
    totals->last_id = std::max(totals->last_id, *highest);
    const std::string remove =
        fmt::format("DELETE FROM batch WHERE id BETWEEN ?1 AND ?2 RETURNING {}", head_columns);
    const std::pair<Statement&, const char*> wanted[] = {
        {statements_.begin, "BEGIN IMMEDIATE"},
        {statements_.commit, "COMMIT"},
        {statements_.rollback, "ROLLBACK"},
        {statements_.insert, insert_into_batch},
        {statements_.remove, remove.c_str()},
        {statements_.unclaimed, "SELECT id, bytes, created_unix_nanos FROM batch WHERE id > ?1 ORDER BY id"},
        {statements_.sum, "SELECT sum(events), sum(bytes) FROM batch WHERE id BETWEEN ?1 AND ?2"},
        {statements_.totals, update_totals},
        {statements_.mark, update_mark},
    };
    for (auto& [statement, sql] : wanted) {
        auto prepared = database->prepare(sql);
        if (!prepared) return std::unexpected(prepared.error());
        statement = std::move(*prepared);
    }
    if (shared_->generation == 0) {
        auto mark = read_mark(*database);
        if (!mark) return std::unexpected(mark.error());
        mark_ = committed_mark_ = std::move(*mark);
    }
    database_ = std::move(*database);
    return totals;
}

Result<> Spool::append(std::span<const Message> messages, std::string_view mark) {
    PayloadBuilder builder;
    for (const Message& message : messages) {
        builder.add(message);
        if (builder.bytes() >= max_batch_bytes) seal(builder);
    }
    if (builder.events() > 0) seal(builder);
    if (!mark.empty() && mark.size() <= max_mark_bytes) {
        mark_ = mark;
        mark_waits_ = true;
    }
    auto done = flush();
    if (mark.size() > max_mark_bytes)
        return fail(fmt::format("a mark of {} bytes is too long for the spool", mark.size()));
    return done;
}

Result<> Spool::maintain() {
    return flush();
}

void Spool::seal(PayloadBuilder& builder) {
    const uint32_t events = builder.events();
    pending_.push_back({++last_id_, unix_nanos(), events, compressor_.pack(builder.take())});
    pending_bytes_ += pending_.back().payload.size();
    pending_events_ += events;
}

// Writes all that there is to write, unless the file is somebody else's at this moment.
Result<> Spool::flush() {
    Result<> done;
    if (shared_->corrupt || !database_) done = attach(shared_->corrupt);
    if (done && !idle() && shared_->turn.try_lock()) {
        Ledger ledger = ledger_;
        auto written = write(ledger);
        if (written) {
            settle(ledger);
            written = merge();
        }
        if (!written) {
            (void)Query(statements_.rollback).run();
            if (written.error().corrupt()) shared_->corrupt = true;
            done = written.error().within("cannot write to the spool " + shared_->path);
        }
        shared_->turn.unlock();
    }
    note_durable();
    bound_memory();
    publish();
    if (!done) return done;

    MutexLock lock(shared_->mutex);
    if (shared_->trouble.empty()) return {};
    return fail(std::exchange(shared_->trouble, {}));
}

void Spool::settle(const Ledger& ledger) {
    ledger_ = ledger;
    dropped_ = 0;
    evicting_.clear();
    damaged_ids_.clear();
    shared_->commits.add();
    marks_to_sync_.emplace_back(shared_->commits.get(), mark_);
    // A disk that takes long: the marks between are not missed.
    if (marks_to_sync_.size() > max_marks_to_sync) marks_to_sync_.erase(marks_to_sync_.end() - 2);
    mark_waits_ = false;
    const uint64_t one = 1;
    if (options_.sync == Sync::full) (void)!::write(shared_->sync_wake.get(), &one, sizeof(one));
    if (pending_.empty()) return;
    shared_->appended_through = pending_.back().id;
    pending_.clear();
    pending_bytes_ = 0;
    pending_events_ = 0;
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
    return pending_.empty() && !mark_waits_ && durable;
}

void Spool::bound_memory() {
    while (pending_bytes_ > options_.memory_bytes) {
        const Pending& oldest = pending_.front();
        dropped_ += oldest.events;
        pending_events_ -= oldest.events;
        pending_bytes_ -= oldest.payload.size();
        pending_.pop_front();
    }
}

void Spool::publish() {
    counters_.found.set(found_);
    const Totals& totals = ledger_.totals;
    counters_.in.set(totals.in + pending_events_ + dropped_);
    counters_.released.set(totals.released);
    counters_.too_large.set(totals.too_large);
    counters_.evicted.set(totals.evicted);
    counters_.expired.set(totals.expired);
    counters_.damaged.set(totals.damaged);
    counters_.memory_full.set(totals.memory_full + dropped_);
    counters_.held.set(totals.events + pending_events_);
    counters_.held_bytes.set(totals.bytes + pending_bytes_);
    counters_.memory_bytes.set(pending_bytes_);
    counters_.files_set_aside.set(files_set_aside_);
}

SpoolStats Spool::stats() const {
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
    };
}

Result<std::unique_ptr<SpoolReader>> Spool::reader() {
    if (reader_given_) return fail("the spool has a reader already");
    auto reader = SpoolReader::open(shared_);
    reader_given_ = reader.has_value();
    return reader;
}

}  // namespace tcptrail::spool
