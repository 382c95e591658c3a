// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "bpf/abi/counters.h"
#include "bpf/abi/untold.h"

namespace tcptrail::capture {

// The kernel's counts, summed over the CPUs. See bpf/abi/counters.h.
struct KernelCounts {
    uint64_t values[TCPTRAIL_COUNTERS] = {};

    uint64_t operator[](tcptrail_counter counter) const { return values[counter]; }
    // Lifecycles that came to their end: each was either submitted or lost.
    uint64_t seen() const { return values[TCPTRAIL_SUBMITTED] + values[TCPTRAIL_LOST_RING_FULL]; }
    // Connections that were established, where that is told.
    uint64_t opened() const {
        return values[TCPTRAIL_OPENED_SUBMITTED] + values[TCPTRAIL_OPENED_LOST_RING_FULL];
    }
};

// Reads the map `counters`.
Result<KernelCounts> read_counters(int map);

// Reads the map `untold`: totals since the run began, summed over the CPUs.
using UntoldTotals = std::vector<std::pair<tcptrail_untold_key, tcptrail_untold>>;
Result<UntoldTotals> read_untold(int map);

}  // namespace tcptrail::capture
