// SPDX-License-Identifier: Apache-2.0
//
// Whether the accounts of the stages fit: seen = delivered + lost by reason, checked by the agent itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "schemas/v1/agent.pb.h"

namespace tcptrail {

// The reports of one process, in their order. What is asked of them holds at any moment, on the capture
// thread, however the threads and the kernel go on meanwhile:
//
// * each stage: in = out + held + lost
// * capture gives connections all that it takes; of each record that has no flaw there is an event, and each
// event
//   has its number
// * what encode gives the spool gets: what the file had from earlier runs besides may turn up later, when the
// disk
//   is there, but never becomes less
// * transmit takes nothing twice, and the spool releases nothing that transmit has not finished
class Balance {
public:
    // What does not hold in the report, one sentence each; empty: all holds. Stages that it does not have are
    // not looked at.
    std::vector<std::string> check(const v1::AgentReport& report);

private:
    // As of the first report that had both stages.
    struct Start {
        int64_t inherited = 0;  // spool: in, beyond what encode gave
        uint64_t in = 0, finished = 0, held = 0;
        uint64_t taken = 0;  // transmit: in
    };

    std::optional<Start> start_;
    std::optional<int64_t> inherited_;  // at the last report
};

}  // namespace tcptrail
