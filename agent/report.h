// SPDX-License-Identifier: Apache-2.0
//
// The agent's account of itself: one message on the topic of agents.
#pragma once

#include <cstdint>

#include "agent/base/clock.h"
#include "agent/encode/message.h"
#include "agent/pipeline.h"
#include "agent/spool/spool.h"
#include "agent/transmit/status.h"
#include "schemas/v1/agent.pb.h"

namespace tcptrail {

// Used by the capture thread alone.
class Reporter {
public:
    // Borrowed; outlives this.
    explicit Reporter(const Pipeline& pipeline) : pipeline_(pipeline) {}

    // The next report of the run.
    v1::AgentReport report(v1::ReportReason reason, const spool::SpoolStats& spool,
                           const transmit::TransmitStatus& transmit);

private:
    const Pipeline& pipeline_;
    uint64_t started_ns_ = monotonic_nanos();
    uint64_t sequence_ = 0;
};

// The key is the host's id.
Message to_message(const v1::AgentReport& report);

}  // namespace tcptrail
