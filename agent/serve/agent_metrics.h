// SPDX-License-Identifier: Apache-2.0
//
// The agent's account of itself as metrics. All figures are those of the report, which `tcptrail status`
// shows too.
#pragma once

#include "agent/serve/exposition.h"
#include "schemas/v1/agent.pb.h"

namespace tcptrail::serve {

// Stages, ring, spool, Kafka, hooks, whether the accounts fit.
void write_agent(Exposition& to, const v1::AgentReport& report);

// This host: listeners, network namespaces, destinations. As many samples as the report has of each.
void write_host(Exposition& to, const v1::AgentReport& report);

// The agent's process, by the names that Prometheus's clients use. What the report does not have comes from
// /proc/self.
void write_process(Exposition& to, const v1::AgentReport& report);

// Why the agent does not do its work now, in words; empty: it captures, and what it captures is delivered or
// stored.
std::string not_ready(const v1::AgentReport& report);

}  // namespace tcptrail::serve
