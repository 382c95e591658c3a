// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/transmit/options.h"
#include "agent/transmit/session.h"

namespace tcptrail::transmit {

struct BrokerAnswer {
    int32_t id = 0;
    std::string address;  // host:port, as the cluster tells it
    std::string problem;  // why it did not answer; empty: it did
};

struct PingReport {
    std::string cluster_id;
    std::vector<BrokerAnswer> brokers;  // by id
};

// Asks a first broker for the others, then each of them, all within `deadline`. That no broker could be asked
// is the error, with librdkafka's reason: refused, TLS, credentials.
Result<PingReport> ping(const Options& options, Milliseconds deadline = session_timeout);

// Whether any broker takes a client made from the options, certificates and secrets as they are now. The
// error says why none does, or that none has answered within `deadline`.
Result<> try_client(const Options& options, Milliseconds deadline);

}  // namespace tcptrail::transmit
