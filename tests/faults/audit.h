// SPDX-License-Identifier: Apache-2.0
//
// What must hold whatever happens: seen = delivered + lost by reason, and nothing else is missing.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/kafka/setting.h"

namespace tests {

struct Outcome {
    uint64_t seen = 0;        // lifecycles, by the kernel side, of all runs of the agent
    uint64_t delivered = 0;   // events that the consumer has, each once
    uint64_t lost = 0;        // by the agent's own account
    uint64_t duplicated = 0;  // events that the consumer has more than once
    std::map<std::string, uint64_t> reasons;
};

// What is counted as `killed`: all that is missing and nothing else, or that and what Kafka had got from
// memory already (agent/README.md), as where the disk was full and SIGKILL came.
enum class Killed { exact, upper_bound };

// REQUIREs it, of a test whose agents have ended: from what the consumer reads, from the stages in every
// AgentReport, and from what the generators made. Prints the outcome under the test's name.
Outcome require_audit(const Setting& setting, const std::vector<Truth>& truths,
                      Killed killed = Killed::exact);

// Waits until the consumer has so many events, as long as it takes.
void require_delivered(const Setting& setting, uint64_t events, seconds limit = seconds(90));

}  // namespace tests
