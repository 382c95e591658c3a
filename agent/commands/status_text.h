// SPDX-License-Identifier: Apache-2.0
//
// What `tcptrail status` prints of an agent's account of itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "schemas/v1/agent.pb.h"

namespace tcptrail::commands {

// What is not as it should be, one sentence each; empty: the agent is healthy. What this kernel does not let
// the agent see, and what was lost before, are no such thing.
std::vector<std::string> problems_of(const v1::AgentReport& report);

// Lines for people.
std::string status_text(const v1::AgentReport& report, uint64_t now_unix_nanos);

}  // namespace tcptrail::commands
