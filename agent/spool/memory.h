// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/mutex.h"
#include "agent/spool/lane.h"

namespace tcptrail::spool {

// A batch that is not in the file. Its payload is as it would be stored.
struct MemoryBatch {
    uint64_t created_unix_nanos = 0;
    uint64_t events = 0;
    std::string payload;
    Lane lane = Lane::live;
    uint64_t appended_ns = 0;  // CLOCK_MONOTONIC
};

// What was appended and is not in the file yet: for a moment as a rule, for longer where the disk does not
// take it. Then the reader delivers from here. Any thread; a batch is the appender's or the reader's, never
// both's.
class MemoryBuffer {
public:
    struct Sums {
        uint64_t waiting_events = 0;    // for the file
        uint64_t held_events = 0;       // these, and those that the reader has taken from here
        uint64_t held_bytes = 0;        // of payload
        uint64_t released_events = 0;   // in all: they never were in the file
        uint64_t too_large_events = 0;  // of these
        uint64_t backlog_batches = 0;   // held of that lane

        void enter(const MemoryBatch& batch);
        void leave(const MemoryBatch& batch);  // it is held no more
    };

    // The ids of batches that were taken from memory; those of the file are smaller.
    static constexpr uint64_t first_id = 1ull << 62;

    void add(MemoryBatch batch);
    // Drops the oldest that are not the reader's until no more than `bytes` are left; returns how many
    // events.
    uint64_t bound(uint64_t bytes);
    Sums sums() const;
    // The appended_ns of the oldest that waits; 0: none does.
    uint64_t waiting_since(Lane lane) const;
    // Whether the reader has what is nowhere else.
    bool has_taken() const;

    // From close() on the reader takes nothing from here, and the appender may write what waits, each with
    // `write`, until that says false; then it says by written() that these are committed, or by open() that
    // nothing is. Returns from written() whether there were any.
    void close();
    void each_waiting(const std::function<bool(const MemoryBatch&)>& write);
    bool written();
    void open();
    bool is_open() const;

    // For the reader: the oldest of a lane that waits, if it may take one and then has at most `max_bytes`
    // from here.
    struct Taken {
        uint64_t id = 0;
        MemoryBatch batch;
    };
    std::optional<Taken> take(Lane lane, uint64_t max_bytes);
    void release(uint64_t id);
    void set_aside(uint64_t id);  // one of its messages
    // What was taken and not released waits again.
    void give_back();

    // All that waits, oldest first, and no longer here. What the reader has stays.
    std::vector<MemoryBatch> take_out();
    // What another buffer has counted.
    void add_released(uint64_t events, uint64_t too_large);

private:
    struct Entry {
        MemoryBatch batch;
        uint64_t taken_id = 0;  // 0: it waits
        uint64_t too_large = 0;
        bool in_transaction = false;  // is being written

        bool waits(Lane lane) const { return taken_id == 0 && batch.lane == lane; }
    };

    mutable Mutex mutex_;
    std::deque<Entry> entries_ GUARDED_BY(mutex_);  // oldest first
    Sums sums_ GUARDED_BY(mutex_);
    uint64_t taken_bytes_ GUARDED_BY(mutex_) = 0;
    uint64_t last_id_ GUARDED_BY(mutex_) = first_id;
    bool open_ GUARDED_BY(mutex_) = false;
};

}  // namespace tcptrail::spool
