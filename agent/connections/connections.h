// SPDX-License-Identifier: Apache-2.0
//
// The second stage: from what the kernel saw to what it means.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/connections/connection.h"
#include "bpf/abi/record.h"

namespace tcptrail::connections {

// What does not change while the agent runs.
struct Kernel {
    uint32_t hz = 0;  // of jiffies; 0: not known, and what is counted in them is absent
    std::vector<std::string> reset_reasons;  // names by number
    bool tells_retransmits = true;           // the hook that tells their times and kinds is attached
};

// The connection that a record tells of. Its views point into `record` and `kernel`.
// `boot_to_unix` is what to add to CLOCK_BOOTTIME for wall clock, as of now.
Connection connection_of(const tcptrail_record& record, const Kernel& kernel, uint64_t boot_to_unix);

// `source` is of enum tcptrail_owner_source. Views point into `owner` and `thread_name`.
Owner owner_of(const tcptrail_owner& owner, const char (&thread_name)[TCPTRAIL_NAME_LEN], uint32_t source);

}  // namespace tcptrail::connections
