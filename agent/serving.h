// SPDX-License-Identifier: Apache-2.0
//
// What the agent says to whoever asks on this host: the socket of `tcptrail status`, and HTTP.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/event_loop.h"
#include "agent/base/log.h"
#include "agent/serve/connection_metrics.h"
#include "agent/serve/endpoints.h"
#include "agent/serve/http_server.h"
#include "agent/serve/local_socket.h"
#include "agent/serve/options.h"
#include "agent/token_file.h"
#include "schemas/v1/agent.pb.h"

namespace tcptrail {

// Used by the capture thread alone. Both tell the same account, which is at most a second old. Without either
// the agent is no worse: what goes wrong is logged.
class Serving {
public:
    // `options` and `metrics` are borrowed. `account` tells how the agent is now; it is called from within
    // the loop.
    Serving(const serve::Options& options, serve::ConnectionMetrics& metrics,
            std::function<v1::AgentReport()> account)
        : options_(options),
          account_(std::move(account)),
          token_errors_(token_error_interval_ns),
          metrics_(metrics) {}

    bool has_metrics() const { return !options_.metrics.listen.empty(); }
    // Each event that is told.
    void add(const connections::Connection& connection, const context::Identity& identity) {
        metrics_.add(connection, identity);
    }

    // From now on. An address that is another's is tried again.
    void begin(EventLoop& loop);
    // The loop must not run any more.
    void end();

private:
    static constexpr uint64_t token_error_interval_ns = 600'000'000'000;  // it stays until somebody mends it

    const v1::AgentReport& recent(serve::Endpoints::Age age);
    std::string status();
    Result<> open_socket(EventLoop& loop);
    Result<> open_http(EventLoop& loop);
    void try_http(EventLoop& loop);
    std::string_view token();

    const serve::Options& options_;
    std::function<v1::AgentReport()> account_;
    v1::AgentReport recent_;  // as of recent_ns_
    uint64_t recent_ns_ = 0;  // CLOCK_MONOTONIC; 0: none yet
    std::string status_;      // the same as a line; empty: not written yet

    std::optional<TokenFile> token_file_;  // none: no token is asked for
    uint64_t token_looked_ns_ = 0;         // CLOCK_MONOTONIC
    LogLimiter token_errors_;

    std::unique_ptr<serve::LocalSocket> socket_;
    serve::ConnectionMetrics& metrics_;
    std::unique_ptr<serve::Endpoints> endpoints_;
    std::unique_ptr<serve::HttpServer> http_;
    bool http_failed_ = false;  // and that was logged
};

}  // namespace tcptrail
