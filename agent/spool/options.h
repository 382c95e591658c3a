// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace tcptrail::spool {

// What a power cut may take.
enum class Sync {
    normal,  // the last second
    full,    // nothing that was told as committed
};

struct Options {
    std::string directory = "/var/lib/tcptrail";  // made if it is missing; holds spool.db
    uint64_t max_bytes = 1ull << 30;      // of undelivered events as stored; beyond it the oldest are evicted
    uint64_t min_free_bytes = 64u << 20;  // of the disk, but no more than a tenth of it; 0: it may be filled
    uint32_t max_age_hours = 0;           // older events are removed, and counted as expired; 0: however old
    Sync sync = Sync::normal;
    uint64_t memory_bytes = 16u << 20;  // of events that the disk does not take
    bool live_first = true;  // before what is behind an outage; false: all in the order of appending
    // How long something may wait in the live lane before what follows goes into the backlog. No setting.
    uint64_t longest_live_wait_ms = 500;
    // How much may lie there before small batches are merged, but no more than a sixteenth of max_bytes. No
    // setting.
    uint64_t loose_bytes = 64u << 20;
};

}  // namespace tcptrail::spool
