// SPDX-License-Identifier: Apache-2.0
//
// Totals of the lifecycles for which the ring had no room: nobody can tell them one by one any more, but how
// they ended is known.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "agent/connections/connection.h"
#include "bpf/abi/untold.h"

namespace tcptrail::connections {

struct Untold {
    Role role = Role::unspecified;
    Outcome outcome = Outcome::unspecified;
    End end = End::unspecified;
    uint64_t lifecycles = 0;
    uint64_t bytes_sent = 0;
    uint64_t bytes_received = 0;
};

// Classified as their records would have been, and summed: one entry for each role, outcome and end.
std::vector<Untold> classify_untold(std::span<const std::pair<tcptrail_untold_key, tcptrail_untold>> totals);

}  // namespace tcptrail::connections
