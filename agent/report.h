// SPDX-License-Identifier: Apache-2.0
//
// The agent's account of itself: one message on the topic of agents.
#pragma once

#include <cstdint>

#include "agent/audit.h"
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
    // Both are borrowed and outlive this.
    Reporter(Pipeline& pipeline, const Audit& audit) : pipeline_(pipeline), audit_(audit) {}

    // The next report of the run.
    v1::AgentReport report(v1::ReportReason reason, const spool::SpoolStats& spool,
                           const transmit::TransmitStatus& transmit);

private:
    Pipeline& pipeline_;
    const Audit& audit_;
    uint64_t started_ns_ = monotonic_nanos();
};

// The key is the host's id.
Message to_message(const v1::AgentReport& report);

}  // namespace tcptrail
