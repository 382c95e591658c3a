// SPDX-License-Identifier: Apache-2.0
//
// What Spool does to the file.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "agent/base/clock.h"
#include "agent/spool/schema.h"
#include "agent/spool/spool.h"

namespace tcptrail::spool {
namespace {

constexpr uint64_t max_removed_at_once = 64u << 20;  // bytes: one transaction must not take long
constexpr uint64_t expiry_interval_ns = 1'000'000'000;
constexpr uint64_t nanos_per_hour = 3'600'000'000'000;
constexpr uint64_t first_plausible_nanos = 1'577'836'800'000'000'000;  // 2020-01-01
constexpr uint64_t whenever = std::numeric_limits<uint64_t>::max();

}  // namespace

bool Spool::idle() {
    MutexLock lock(shared_->mutex);
    const MemoryBuffer::Sums memory = shared_->memory.sums();
    return memory.waiting_events == 0 && memory.released_events == ledger_.released_from_memory &&
           !mark_waits_ && shared_->merged.empty() && shared_->set_aside.empty() && set_aside_.empty() &&
           !expiry_due() && evicting_.empty() && damaged_ids_.empty() && shared_->damaged.empty() &&
           shared_->reading.released_through == ledger_.reading.released_through && dropped_ == 0 &&
           ledger_.totals.bytes <= bound_bytes_;
}

// One transaction. On an error the caller rolls back, and nothing has changed but what is remembered to be
// evicted or damaged: that is done by the next one.
SqlResult<> Spool::write(Ledger& ledger) {
    if (auto done = Query(statements_.begin).run(); !done) return done;

    bool all_taken = false;
    {
        MutexLock lock(shared_->mutex);
        ledger.reading = shared_->reading;
        all_taken = std::ranges::all_of(lanes, [this](Lane lane) {
            return shared_->lanes[lane].claimed >= shared_->lanes[lane].appended_through;
        });
        while (!shared_->set_aside.empty()) {
            set_aside_.push_back(std::move(shared_->set_aside.front()));
            shared_->set_aside.pop_front();
        }
        // No more than is kept, also when the disk does not take it for long.
        while (set_aside_.size() > max_set_aside)
            set_aside_.pop_front();
        damaged_ids_.insert(damaged_ids_.end(), shared_->damaged.begin(), shared_->damaged.end());
        shared_->damaged.clear();
    }
    // The lost ones first: the released ones are a range that they may lie in.
    for (uint64_t id : damaged_ids_)
        if (auto done = remove_lost({id, id, &Totals::damaged}, ledger); !done) return done;
    for (Range ids : evicting_)
        if (auto done = remove_lost(ids, ledger); !done) return done;
    if (auto done = remove_released(ledger); !done) return done;

    SqlResult<> inserted;
    shared_->memory.each_waiting([&](const MemoryBatch& batch) {
        uint64_t& last_id = batch.lane == Lane::live ? ledger.last_live_id : ledger.totals.last_id;
        const RowHead head{++last_id, batch.created_unix_nanos, batch.events, batch.payload.size()};
        ledger.totals.in += batch.events;
        ledger.totals.events += batch.events;
        ledger.totals.bytes += head.bytes;
        inserted = insert_row(statements_.insert, head, batch.payload);
        return inserted.has_value();
    });
    if (!inserted) return inserted;
    if (auto done = expire(ledger); !done) return done;
    if (auto done = evict(ledger); !done) return done;

    // When all is taken and done with, nothing can be left: what seems to be was in rows whose heads were
    // damaged.
    const bool written =
        ledger.totals.last_id != ledger_.totals.last_id || ledger.last_live_id != ledger_.last_live_id;
    const bool done_with = all_taken && ledger.reading.taken_events == 0;
    if (!written && done_with && ledger.totals.events > 0) {
        // Otherwise it is there, and not to be seen: in the copy of the file it may be.
        if (!heads_lost_)
            return std::unexpected(
                SqlError::malformed(fmt::format("{} events are not found", ledger.totals.events)));
        ledger.totals.leave(&Totals::damaged, ledger.totals.events);
        ledger.totals.bytes = 0;
    }
    const MemoryBuffer::Sums memory = shared_->memory.sums();
    const uint64_t from_memory = memory.released_events - ledger.released_from_memory;
    const uint64_t too_large = memory.too_large_events - ledger.too_large_from_memory;
    ledger.totals.in += from_memory;
    ledger.totals.too_large += too_large;
    ledger.totals.released += from_memory - too_large;
    ledger.released_from_memory = memory.released_events;
    ledger.too_large_from_memory = memory.too_large_events;
    if (auto done = keep_set_aside(); !done) return done;
    ledger.totals.in += dropped_;
    ledger.totals.memory_full += dropped_;
    if (auto done = write_totals(statements_.totals, ledger.totals); !done) return done;
    // What the reader took from memory is in no file: until it is delivered the mark must not say that it is.
    ledger.mark_written = mark_waits_ && !shared_->memory.has_taken();
    if (ledger.mark_written)
        if (auto done = write_mark(statements_.mark, mark_); !done) return done;
    return Query(statements_.commit).run();
}

SqlResult<> Spool::keep_set_aside() {
    if (set_aside_.empty()) return {};
    for (const std::string& payload : set_aside_)
        if (auto done = insert_set_aside(statements_.set_aside, shared_->time.now(), payload); !done)
            return done;
    return Query(statements_.trim, max_set_aside).run();
}

// What was delivered is counted by the reader, which has seen the messages; the rows only go.
SqlResult<> Spool::remove_released(Ledger& ledger) {
    const Reading& now = ledger.reading;
    const Reading& before = ledger_.reading;
    if (now.released_through == before.released_through) return {};
    const uint64_t too_large = now.too_large_events - before.too_large_events;
    ledger.totals.leave(&Totals::too_large, too_large);
    ledger.totals.leave(&Totals::released, now.released_events - before.released_events - too_large);
    ledger.totals.bytes -= std::min(now.released_bytes - before.released_bytes, ledger.totals.bytes);
    for (Lane lane : lanes) {
        if (now.released_through[lane] == before.released_through[lane]) continue;
        Query removed(statements_.remove, first_id(lane), now.released_through[lane]);
        for (;;) {
            auto row = removed.step();
            if (!row) return std::unexpected(row.error());
            if (!*row) break;
            const Row gone = read_head(removed);
            uint64_t& latest = ledger.delivered_created[lane];
            if (gone.head_whole) latest = std::max(latest, gone.head.created_unix_nanos);
        }
    }
    return {};
}

SqlResult<> Spool::remove_lost(Range ids, Ledger& ledger) {
    Query removed(statements_.remove, ids.first, ids.last);
    for (;;) {
        auto row = removed.step();
        if (!row) return std::unexpected(row.error());
        if (!*row) return {};
        const Row gone = read_head(removed);
        // A damaged head may tell any number; what it stood for is found out when the spool is empty.
        heads_lost_ = heads_lost_ || !gone.head_whole;
        if (!gone.head_whole) continue;
        ledger.totals.leave(ids.account, gone.head.events);
        ledger.totals.bytes -= std::min(gone.head.bytes, ledger.totals.bytes);
    }
}

// The one whose oldest batch that nobody has taken is older.
SqlResult<Lane> Spool::older_lane() {
    PerLane<uint64_t> created;
    for (Lane lane : lanes) {
        Query unclaimed(statements_.unclaimed, shared_->lanes[lane].claimed.load(), last_possible_id(lane));
        auto row = unclaimed.step();
        if (!row) return std::unexpected(row.error());
        created[lane] = *row ? unclaimed.integer(2) : whenever;
    }
    return created[Lane::live] < created[Lane::backlog] ? Lane::live : Lane::backlog;
}

// As many of the oldest batches of a lane as have at least `bytes`, of those that were created before: none
// of those that the reader has.
SqlResult<Spool::Range> Spool::oldest(Lane lane, uint64_t Totals::* account, uint64_t bytes,
                                      uint64_t created_before) {
    const uint64_t claimed = shared_->lanes[lane].claimed;
    Range range{claimed + 1, claimed, account};
    Query unclaimed(statements_.unclaimed, claimed, last_possible_id(lane));
    for (uint64_t sum = 0; sum < std::min(bytes, max_removed_at_once); sum += unclaimed.integer(1)) {
        auto row = unclaimed.step();
        if (!row) return std::unexpected(row.error());
        if (!*row || (created_before != whenever && !is_before(unclaimed.integer(2), created_before))) break;
        range.last = unclaimed.integer(0);
    }
    return range;
}

// A batch of a time before there was a spool is from a machine without a clock: how old it is nobody knows,
// but no younger than this process.
bool Spool::is_before(uint64_t created, uint64_t before) const {
    const bool is_known = created >= first_plausible_nanos || before < first_plausible_nanos;
    return created < before && (is_known || opened_created_ < before);
}

// Claims batches and deletes them; false: the reader was faster. What it has is passed over: Kafka may hold
// it already.
SqlResult<bool> Spool::take_back(Range victims, Ledger& ledger) {
    uint64_t claimed = victims.first - 1;
    LaneState& state = shared_->lanes[lane_of(victims.first)];
    if (!state.claimed.compare_exchange_strong(claimed, victims.last)) return false;
    evicting_.push_back(victims);
    if (auto done = remove_lost(victims, ledger); !done) return std::unexpected(done.error());
    return true;
}

SqlResult<> Spool::evict(Ledger& ledger) {
    while (ledger.totals.bytes > bound_bytes_) {
        auto lane = older_lane();
        if (!lane) return std::unexpected(lane.error());
        auto victims = oldest(*lane, &Totals::evicted, ledger.totals.bytes - bound_bytes_, whenever);
        if (!victims) return std::unexpected(victims.error());
        if (victims->last < victims->first) return {};
        auto taken = take_back(*victims, ledger);
        if (!taken) return std::unexpected(taken.error());
        if (*taken) return {};
    }
    return {};
}

bool Spool::expiry_due() const {
    return options_.max_age_hours > 0 && ledger_.totals.events > 0 && monotonic_nanos() >= next_expiry_ns_;
}

SqlResult<> Spool::expire(Ledger& ledger) {
    if (!expiry_due()) return {};
    next_expiry_ns_ = monotonic_nanos() + expiry_interval_ns;
    const uint64_t age = options_.max_age_hours * nanos_per_hour;
    const uint64_t now = shared_->time.now();
    if (now <= age) return {};
    for (Lane lane : lanes) {
        auto victims = oldest(lane, &Totals::expired, std::numeric_limits<uint64_t>::max(), now - age);
        if (!victims) return std::unexpected(victims.error());
        if (victims->last < victims->first) continue;
        // There may be more than one transaction removes: the rest with the next.
        next_expiry_ns_ = 0;
        if (auto taken = take_back(*victims, ledger); !taken) return std::unexpected(taken.error());
    }
    return {};
}

// Puts merged batches in the place of what they were made of. What is in the way, such as a reader that has
// come there, costs only the gain.
SqlResult<> Spool::merge() {
    MutexLock lock(shared_->mutex);
    for (; !shared_->merged.empty(); shared_->merged.pop_front()) {
        const Merged& merged = shared_->merged.front();
        // The reader does not move on as long as we hold the lock.
        if (shared_->lanes[Lane::backlog].claimed >= merged.first_id) continue;
        if (auto done = replace(merged); !done) {
            shared_->merged.clear();
            return done;
        }
        shared_->merges++;
        shared_->commits.add();
    }
    return {};
}

SqlResult<> Spool::replace(const Merged& merged) {
    if (auto done = Query(statements_.begin).run(); !done) return done;
    uint64_t events = 0;
    uint64_t bytes = 0;
    {
        Query removed(statements_.remove, merged.first_id, merged.last_id);
        for (;;) {
            auto row = removed.step();
            if (!row) return std::unexpected(row.error());
            if (!*row) break;
            const Row gone = read_head(removed);
            events += gone.head.events;
            bytes += gone.head.bytes;
        }
    }
    // Not those that it was made of: damage, or another's hand.
    if (events != merged.events) return Query(statements_.rollback).run();
    const RowHead head{merged.last_id, merged.created_unix_nanos, merged.events, merged.payload.size()};
    if (auto done = insert_row(statements_.insert, head, merged.payload); !done) return done;
    Totals totals = ledger_.totals;
    totals.bytes = totals.bytes - std::min(bytes, totals.bytes) + head.bytes;
    if (auto done = write_totals(statements_.totals, totals); !done) return done;
    if (auto done = Query(statements_.commit).run(); !done) return done;
    ledger_.totals = totals;
    return {};
}

}  // namespace tcptrail::spool
