// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/spool.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "agent/base/clock.h"

namespace tcptrail::spool {
namespace {

constexpr size_t max_marks_to_sync = 64;
constexpr uint64_t shortest_retry_delay_ns = 100'000'000;
constexpr uint64_t longest_retry_delay_ns = 5'000'000'000;
constexpr uint64_t rest_after_copy = 20;           // times as long as it took
constexpr uint64_t least_bound_bytes = 32u << 20;  // more than the reader takes at a time

constexpr const char* scarce_text =
    "the disk is nearly full (spool.min_free_bytes): the spool does not grow, and its oldest events make "
    "room for new ones; free the disk, or set another spool.directory";

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
