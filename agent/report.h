// SPDX-License-Identifier: Apache-2.0
//
// The agent's account of itself: one message on the topic of agents.
#pragma once

#include <cstdint>
#include <optional>

#include "agent/audit.h"
#include "agent/balance.h"
#include "agent/base/clock.h"
#include "agent/encode/message.h"
#include "agent/pipeline.h"
#include "agent/spool/spool.h"
#include "agent/transmit/status.h"
#include "schemas/v1/agent.pb.h"

namespace tcptrail {

// What stands behind the pipeline where events go to Kafka.
struct Delivery {
    uint64_t waiting = 0;  // messages that are encoded and not in the spool yet
    spool::SpoolStats spool;
    transmit::TransmitStatus transmit;
};

// Used by the capture thread alone.
class Reporter {
public:
    // Both are borrowed and outlive this.
    Reporter(Pipeline& pipeline, const Audit& audit) : pipeline_(pipeline), audit_(audit) {}

    // The next report of the run, which is a message itself; but for REPORT_REASON_ASKED, which is none and
    // takes no number. Nothing of `delivery` may be older than the last event.
    v1::AgentReport report(v1::ReportReason reason, const std::optional<Delivery>& delivery);

private:
    void check(v1::AgentReport& report);

    Pipeline& pipeline_;
    const Audit& audit_;
    Balance balance_;
    uint32_t violated_ = 0;
    uint64_t started_ns_ = monotonic_nanos();
};

// The key is the host's id.
Message to_message(const v1::AgentReport& report);

}  // namespace tcptrail
