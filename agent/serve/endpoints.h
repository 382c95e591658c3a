// SPDX-License-Identifier: Apache-2.0
//
// What is answered by HTTP: /metrics, /healthz, /readyz.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent/serve/connection_metrics.h"
#include "agent/serve/http_server.h"
#include "schemas/v1/agent.pb.h"

namespace tcptrail::serve {

// Used by the capture thread alone.
class Endpoints {
public:
    // The agent's account: of this moment, or one of the last second will do.
    enum class Age : uint8_t { now, last_second };
    using Account = std::function<const v1::AgentReport&(Age)>;

    // The token as it is at a request, for that request; empty: none is asked for.
    using Token = std::function<std::string_view()>;

    // `metrics` is borrowed and outlives this. Who does not send the token gets no metrics, and not the
    // reason why the agent is not ready.
    Endpoints(const ConnectionMetrics& metrics, Account account, Token token)
        : metrics_(metrics), account_(std::move(account)), token_(std::move(token)) {}

    HttpResponse answer(const HttpRequest& request);

private:
    struct Text {
        std::shared_ptr<const std::string> text;
        uint64_t written_ns = 0;  // CLOCK_MONOTONIC
    };

    bool is_allowed(const HttpRequest& request) const;
    HttpResponse readiness(bool with_reason) const;
    HttpResponse metrics(MetricsForm form);

    const ConnectionMetrics& metrics_;
    Account account_;
    Token token_;
    std::array<Text, metrics_forms> texts_;
};

}  // namespace tcptrail::serve
