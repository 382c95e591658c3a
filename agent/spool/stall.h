// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>

namespace tcptrail::spool {

// Whether the live lane is delivered as it fills (README.md, "Two lanes"). Belongs to the appender; all times
// but flows_since() are CLOCK_MONOTONIC, in nanoseconds.
class Stall {
public:
    explicit Stall(uint64_t longest_wait_ns);

    // A file was opened, whose live lane has batches up to `highest_id` (0: none).
    void begin_file(uint64_t highest_id, uint64_t now_ns);
    // Batches of the live lane up to `id` are in the file.
    void committed(uint64_t id, uint64_t now_ns);
    // To be called before anything is appended: what the reader has taken from the live lane in the file, and
    // since when something of that lane has been waiting in memory (0: nothing has).
    void look(uint64_t claimed_id, uint64_t in_memory_since_ns, uint64_t now_ns);

    // Something has waited in the live lane for too long; until all of it is taken.
    bool stalled() const { return stalled_; }
    // CLOCK_BOOTTIME since when it was not stalled.
    uint64_t flows_since() const { return flows_since_ns_; }

private:
    struct Commit {
        uint64_t id;
        uint64_t at_ns;
    };

    const uint64_t longest_wait_ns_;
    std::deque<Commit> waiting_;  // in the file, oldest first
    bool stalled_ = false;
    uint64_t flows_since_ns_;
};

}  // namespace tcptrail::spool
