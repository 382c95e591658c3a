// SPDX-License-Identifier: Apache-2.0
#include "agent/serving.h"

#include <chrono>
#include <utility>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/encode/text.h"
#include "agent/log_events.h"

namespace tcptrail {

namespace {

constexpr uint64_t account_age_ns = 1'000'000'000;
constexpr uint64_t token_age_ns = 1'000'000'000;
constexpr auto retry_interval = std::chrono::seconds(10);

}  // namespace

void Serving::begin(EventLoop& loop) {
    if (!options_.socket.empty())
        if (auto opened = open_socket(loop); !opened)
            log_warning(events::status_not_served,
                        "tcptrail status cannot ask this agent (serve.socket): " + opened.error().message +
                            "; mend that or set another path, then reload");
    if (!has_metrics()) return;
    try_http(loop);
    if (auto repeated = loop.every(retry_interval, [this, &loop] { try_http(loop); }); !repeated)
        log_warning(events::metrics_not_served, "serve.metrics.listen is not tried again: " +
                                                    repeated.error().message + "; restart the agent");
}

void Serving::end() {
    socket_.reset();
    http_.reset();
}

const v1::AgentReport& Serving::recent(serve::Endpoints::Age age) {
    const uint64_t now = monotonic_nanos();
    if (recent_ns_ == 0 || age == serve::Endpoints::Age::now || now - recent_ns_ > account_age_ns) {
        recent_ = account_();
        recent_ns_ = now;
        status_.clear();
    }
    return recent_;
}

std::string Serving::status() {
    const v1::AgentReport& report = recent(serve::Endpoints::Age::last_second);
    if (status_.empty()) status_ = encode::text_line(report).value_or("");
    return status_;
}

Result<> Serving::open_socket(EventLoop& loop) {
    auto socket = serve::LocalSocket::open(options_.socket, [this] { return status(); });
    if (!socket) return std::unexpected(std::move(socket.error()));
    socket_ = std::move(*socket);
    return socket_->serve_in(loop);
}

Result<> Serving::open_http(EventLoop& loop) {
    const serve::MetricsOptions& options = options_.metrics;
    auto address = serve::parse_listen_address(options.listen);
    if (!address) return fail(options.listen + " " + address.error());
    if (!options.token_file.empty()) {
        auto file = TokenFile::open(options.token_file);
        if (!file) return std::unexpected(std::move(file.error()));
        token_file_ = std::move(*file);
    }
    endpoints_ = std::make_unique<serve::Endpoints>(
        metrics_, [this](serve::Endpoints::Age age) -> const v1::AgentReport& { return recent(age); },
        [this] { return token(); });
    auto server = serve::HttpServer::open(
        *address, [this](const serve::HttpRequest& request) { return endpoints_->answer(request); });
    if (!server) return std::unexpected(std::move(server.error()));
    http_ = std::move(*server);
    return http_->serve_in(loop);
}

// Who renews the file need not know of the agent: the next request is measured by what is there then.
std::string_view Serving::token() {
    if (!token_file_) return {};
    const uint64_t now = monotonic_nanos();
    if (now - token_looked_ns_ < token_age_ns) return token_file_->token();
    token_looked_ns_ = now;
    const auto renewed = token_file_->renew();
    if (!renewed)
        log_error(token_errors_, events::token_refused,
                  "the token before stays in force (serve.metrics.token_file): " + renewed.error().message +
                      "; put a token there that the agent's user can read, no reload is needed");
    else if (*renewed)
        log_info(events::token_renewed,
                 "the token of /metrics is another one now (serve.metrics.token_file)");
    return token_file_->token();
}

void Serving::try_http(EventLoop& loop) {
    if (http_) return;
    const auto opened = open_http(loop);
    const std::string where = options_.metrics.listen + " (serve.metrics.listen)";
    if (opened && std::exchange(http_failed_, false))
        log_info(events::metrics_served, "metrics are served at " + where + " now");
    if (!opened && !std::exchange(http_failed_, true))
        log_warning(events::metrics_not_served, "metrics cannot be served at " + where +
                                                    ", which is tried again: " + opened.error().message +
                                                    "; free that address, or set another one and reload");
}

}  // namespace tcptrail
