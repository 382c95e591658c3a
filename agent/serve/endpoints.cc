// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/endpoints.h"

#include <string_view>
#include <utility>

#include "agent/base/clock.h"
#include "agent/encode/printable.h"
#include "agent/serve/agent_metrics.h"

namespace tcptrail::serve {

namespace {

constexpr uint64_t text_age_ns =
    1'000'000'000;  // who asks all the time does not make the agent write all the time

// In a time that does not tell where the difference is.
bool is_same(std::string_view a, std::string_view b) {
    unsigned difference = a.size() == b.size() ? 0 : 1;
    for (size_t i = 0; i < a.size(); ++i)
        difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i % b.size()]);
    return difference == 0;
}

}  // namespace

bool Endpoints::is_allowed(const HttpRequest& request) const {
    const std::string_view token = token_();
    if (token.empty()) return true;
    constexpr std::string_view scheme = "Bearer ";
    std::string_view given = request.authorization;
    if (given.size() < scheme.size() || (given[0] | 0x20) != 'b' || given.substr(1, 6) != scheme.substr(1))
        return false;
    given.remove_prefix(scheme.size());
    return is_same(given, token);
}

HttpResponse Endpoints::answer(const HttpRequest& request) {
    if (request.path == "/healthz") return HttpResponse::text(200, "ok\n");
    const bool allowed = is_allowed(request);
    if (request.path == "/readyz") return readiness(allowed);
    if (request.path != "/metrics")
        return HttpResponse::text(404, "there are /metrics, /healthz and /readyz\n");
    if (!allowed) {
        HttpResponse response = HttpResponse::text(
            401, "the token of serve.metrics.token_file is needed: Authorization: Bearer TOKEN\n");
        response.header = "WWW-Authenticate: Bearer\r\n";
        return response;
    }
    return metrics(wants_openmetrics(request.accept) ? MetricsForm::openmetrics : MetricsForm::prometheus);
}

HttpResponse Endpoints::readiness(bool with_reason) const {
    const std::string reason = not_ready(account_(Age::last_second));
    if (reason.empty()) return HttpResponse::text(200, "ready\n");
    return HttpResponse::text(
        503, with_reason ? "not ready: " + encode::printable(reason) + "\n" : std::string("not ready\n"));
}

HttpResponse Endpoints::metrics(MetricsForm form) {
    Text& text = texts_[static_cast<size_t>(form)];
    const uint64_t now = monotonic_nanos();
    if (!text.text || now - text.written_ns > text_age_ns) {
        Exposition exposition(form);
        // Of the same moment as what connections add up to: then the sums of both fit exactly.
        const v1::AgentReport& report = account_(Age::now);
        metrics_.write(exposition);
        metrics_.write_bound(exposition);
        write_host(exposition, report);
        write_agent(exposition, report);
        write_process(exposition, report);
        text = {std::make_shared<const std::string>(std::move(exposition).finish()), now};
    }
    return {.type = content_type(form), .body = text.text};
}

}  // namespace tcptrail::serve
