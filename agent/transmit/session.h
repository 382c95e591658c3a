// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "agent/base/error.h"
#include "agent/transmit/client.h"
#include "agent/transmit/options.h"
#include "agent/transmit/refusal.h"

namespace tcptrail::transmit {

using Milliseconds = std::chrono::milliseconds;
inline constexpr Milliseconds session_timeout{5000};

// A client for questions and answers, which remembers what went wrong last, so that a time-out can tell why.
// Belongs to one thread.
class Session : ClientOwner {
public:
    static Result<std::unique_ptr<Session>> open(const Options& options, Role role);

    rd_kafka_t* get() const { return client_.get(); }

    // What the cluster looks like; with `topic` that topic, otherwise all topics. Makes none.
    Result<MetadataPtr> metadata(Milliseconds timeout, rd_kafka_topic_t* topic = nullptr);

    // "what: reason", the reason being the last trouble with a broker if there was any, else `error`. Serves
    // the client's events.
    std::unexpected<Error> failed(const std::string& what, const std::string& error);

private:
    Session() = default;
    static void keep_error(rd_kafka_t*, int error, const char* reason, void* opaque);

    std::string last_error_;
    ClientPtr client_;
};

}  // namespace tcptrail::transmit
