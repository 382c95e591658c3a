// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/endpoints.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "agent/serve/agent_metrics.h"
#include "tests/catch.h"
#include "tests/unit/exposition_text.h"

using namespace tcptrail;
using serve::ConnectionMetrics;
using serve::Endpoints;
using serve::HttpResponse;
using tests::MetricsText;

namespace {

v1::AgentReport healthy() {
    v1::AgentReport report;
    report.set_version("0.1.0");
    report.add_hooks()->set_name("tp_btf/x");
    report.mutable_hooks(0)->set_attached(true);
    report.add_stages()->set_name("capture");
    v1::Stage& stage = *report.add_stages();
    stage.set_name("spool");
    stage.set_in(10);
    stage.set_out(6);
    stage.set_held(1);
    stage.add_lost()->set_reason("evicted");
    stage.mutable_lost(0)->set_count(2);
    stage.add_lost()->set_reason("a new one");
    stage.mutable_lost(1)->set_count(1);
    report.set_cpu_user_seconds(1.5);
    report.set_cpu_system_seconds(2);
    report.set_memory_bytes(48 << 20);
    report.set_capture_ratio(0.5);
    report.set_lifecycles_told(50);
    report.set_lifecycles_counted(100);
    return report;
}

v1::AgentReport with_kafka() {
    v1::AgentReport report = healthy();
    report.set_spool_events(12);
    report.set_spool_bytes(5000);
    report.set_spool_max_bytes(1 << 30);
    report.set_spool_memory_bytes(16 << 20);
    report.set_configured_unix_nanos(1'700'000'000'500'000'000);
    report.set_reloads_failed(2);
    report.mutable_kafka()->set_connected(true);
    return report;
}

serve::MetricsOptions with_all_histograms() {
    serve::MetricsOptions options;
    options.histograms.clear();
    for (size_t i = 0; i < std::size(serve::histogram_names); ++i)
        options.histograms.push_back(static_cast<serve::Histogram>(i));
    return options;
}

// A shared thing and its server, for one account.
struct Fixture {
    v1::AgentReport report;
    ConnectionMetrics metrics{with_all_histograms()};
    Endpoints endpoints;

    explicit Fixture(v1::AgentReport account, const std::string& token = "")
        : report(std::move(account)),
          endpoints(
              metrics, [this](Endpoints::Age) -> const v1::AgentReport& { return report; },
              [token] { return std::string_view(token); }) {}

    HttpResponse get(const std::string& path, const std::string& authorization = "",
                     const std::string& accept = "") {
        return endpoints.answer({false, path, accept, authorization});
    }
};

MetricsText metrics_of(const v1::AgentReport& report) {
    return tests::read_metrics(*Fixture(report).get("/metrics").body);
}

std::string read_text(const std::string& path) {
    const auto root = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
    std::ifstream file(root / path, std::ios::binary);
    REQUIRE(file);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("endpoints: paths, forms and content types") {
    Fixture fixture(healthy());
    CHECK(fixture.get("/healthz").status == 200);
    CHECK(*fixture.get("/healthz").body == "ok\n");
    CHECK(fixture.get("/readyz").status == 200);
    CHECK(fixture.get("/").status == 404);
    CHECK(fixture.get("/metrics/").status == 404);
    const HttpResponse text = fixture.get("/metrics");
    CHECK(text.status == 200);
    CHECK(text.type == "text/plain; version=0.0.4; charset=utf-8");
    const HttpResponse open = fixture.get("/metrics", "", "application/openmetrics-text");
    CHECK(open.type == "application/openmetrics-text; version=1.0.0; charset=utf-8");
    CHECK(open.body->ends_with("\n# EOF\n"));
    // Within a second nothing is counted or written anew.
    CHECK(fixture.get("/metrics").body == text.body);
}

TEST_CASE("endpoints: a token guards metrics and reasons, not whether the agent is well") {
    v1::AgentReport report = healthy();
    report.mutable_hooks(0)->set_attached(false);
    Fixture fixture(report, "0123456789abcdef");
    CHECK(fixture.get("/healthz").status == 200);
    CHECK(*fixture.get("/readyz").body == "not ready\n");
    CHECK(*fixture.get("/readyz", "Bearer 0123456789abcdef").body ==
          "not ready: no hook is attached to the kernel\n");
    for (const char* wrong :
         {"", "0123456789abcdef", "Bearer ", "Bearer 0123456789abcdeg", "Bearer 0123456789abcde",
          "Bearer 0123456789abcdef0", "Basic 0123456789abcdef", "Bearer"}) {
        INFO(wrong);
        const HttpResponse refused = fixture.get("/metrics", wrong);
        CHECK(refused.status == 401);
        CHECK(refused.header == "WWW-Authenticate: Bearer\r\n");
        CHECK(refused.body->find("# HELP") == std::string::npos);
    }
    CHECK(fixture.get("/metrics", "Bearer 0123456789abcdef").status == 200);
    CHECK(fixture.get("/metrics", "bearer 0123456789abcdef").status == 200);
}

TEST_CASE("endpoints: ready is who captures, and delivers or stores") {
    using serve::not_ready;
    CHECK(not_ready(healthy()).empty());
    CHECK(not_ready(with_kafka()).empty());
    v1::AgentReport report = with_kafka();
    report.mutable_kafka()->set_connected(false);
    report.mutable_kafka()->set_problem("no broker answers");
    CHECK(not_ready(report).empty());  // it stores
    report.set_spool_problem("No space left on device");
    CHECK(
        not_ready(report) ==
        "events are neither stored nor delivered: spool: No space left on device; Kafka: no broker answers");
    report.mutable_kafka()->clear_problem();
    CHECK(not_ready(report).ends_with("Kafka: no broker has answered"));
    report.mutable_kafka()->set_connected(true);
    CHECK(not_ready(report).empty());               // it delivers
    report.mutable_stages()->DeleteSubrange(0, 1);  // those behind it count for themselves
    CHECK(not_ready(report) == "the counts of the kernel side cannot be read");
    Fixture fixture(report);
    CHECK(fixture.get("/readyz").status == 503);
    CHECK(metrics_of(report).samples.at("tcptrail_ready") == 0);
}

TEST_CASE("endpoints: figures are those of the report") {
    const MetricsText text = metrics_of(with_kafka());
    CHECK(text.samples.at(R"(tcptrail_stage_in_total{stage="spool"})") == 10);
    CHECK(text.samples.at(R"(tcptrail_stage_lost_total{stage="spool",reason="evicted"})") == 2);
    CHECK(text.samples.at(R"(tcptrail_stage_lost_total{stage="spool",reason="a new one"})") == 1);
    CHECK(text.samples.at(R"(tcptrail_stage_lost_total{stage="spool",reason="damaged"})") == 0);
    CHECK(text.samples.at("process_cpu_seconds_total") == 3.5);
    CHECK(text.samples.at("process_resident_memory_bytes") == 48 << 20);
    CHECK(text.samples.at("tcptrail_capture_ratio") == 0.5);
    CHECK(text.samples.at("tcptrail_capture_told_total") == 50);
    CHECK(text.samples.at("tcptrail_capture_counted_total") == 100);
    CHECK(text.samples.at("tcptrail_capture_gaps") == 0);
    CHECK(text.count("tcptrail_capture_gap_last") == 0);
    CHECK(text.samples.at("tcptrail_spool_events") == 12);
    CHECK(text.samples.at("tcptrail_spool_size_limit_bytes") == 1 << 30);
    CHECK(text.samples.at("tcptrail_spool_memory_limit_bytes") == 16 << 20);
    CHECK(text.samples.at("tcptrail_config_loaded_timestamp_seconds") == 1'700'000'000.5);
    CHECK(text.samples.at("tcptrail_config_reloads_failed_total") == 2);
    CHECK(text.samples.at("tcptrail_ready") == 1);
    CHECK(text.samples.at("tcptrail_kafka_connected") == 1);
    CHECK(text.samples.at("tcptrail_audit_violations") == 0);
    CHECK(text.samples.at("process_open_fds") > 2);
    CHECK(text.samples.at("process_start_time_seconds") > 1.7e9);
    // What is not known, or not there, is absent.
    CHECK(text.count("tcptrail_bpf_run_seconds_total") == 0);
    CHECK(metrics_of(healthy()).count("tcptrail_spool") == 0);
    CHECK(metrics_of(healthy()).count("tcptrail_kafka") == 0);
    CHECK(metrics_of(healthy()).count("tcptrail_kubernetes") == 0);
}

TEST_CASE("endpoints: what is asked of an API server, and whether it answers") {
    v1::AgentReport report = healthy();
    v1::ApiServer& server = *report.mutable_api_server();
    server.set_contact(v1::CONTACT_CURRENT);
    server.set_lists(3);
    server.set_watches(5);
    server.set_owners(2);
    server.set_failures(1);
    server.set_pods(110);
    server.set_services(7);
    MetricsText text = metrics_of(report);
    CHECK(text.samples.at("tcptrail_kubernetes_api_healthy") == 1);
    CHECK(text.samples.at(R"(tcptrail_kubernetes_api_requests_total{kind="list"})") == 3);
    CHECK(text.samples.at(R"(tcptrail_kubernetes_api_requests_total{kind="watch"})") == 5);
    CHECK(text.samples.at(R"(tcptrail_kubernetes_api_requests_total{kind="owner"})") == 2);
    CHECK(text.samples.at("tcptrail_kubernetes_api_failures_total") == 1);
    CHECK(text.samples.at(R"(tcptrail_kubernetes_objects{kind="pod"})") == 110);
    CHECK(text.samples.at(R"(tcptrail_kubernetes_objects{kind="service"})") == 7);
    CHECK(text.samples.at(R"(tcptrail_kubernetes_objects{kind="node"})") == 0);

    server.set_problem("services: 403 Forbidden");
    CHECK(metrics_of(report).samples.at("tcptrail_kubernetes_api_healthy") == 0);
    server.clear_problem();
    server.set_contact(v1::CONTACT_STARTING);
    CHECK(metrics_of(report).samples.at("tcptrail_kubernetes_api_healthy") == 0);
}

TEST_CASE("endpoints: when the last gap in the capture ended") {
    v1::AgentReport report = healthy();
    for (const uint64_t second : {1'700'000'000, 1'700'000'500, 1'700'000'100})
        report.add_capture_gaps()->set_until_unix_nanos(second * 1'000'000'000);
    const MetricsText text = metrics_of(report);
    CHECK(text.samples.at("tcptrail_capture_gaps") == 3);
    CHECK(text.samples.at("tcptrail_capture_gap_last_timestamp_seconds") == 1'700'000'500);
}

TEST_CASE("endpoints: listeners that share an address are one") {
    v1::AgentReport report = healthy();
    for (int i = 0; i < 3; ++i) {
        v1::Listener& listener = *report.add_listeners();
        listener.set_name(i < 2 ? "nginx" : "other");
        listener.set_local_address("::");
        listener.set_local_port(80);
        listener.set_netns(7);
        listener.set_accept_queue(2);
        listener.set_accept_queue_limit(128);
        listener.set_drops(5);
    }
    const MetricsText text = metrics_of(report);
    const std::string at = R"(server_address="::",server_port="80",netns="7"})";
    CHECK(text.samples.at("tcptrail_listener_accept_queue{process=\"nginx\"," + at) == 4);
    CHECK(text.samples.at("tcptrail_listener_accept_queue_limit{process=\"nginx\"," + at) == 256);
    CHECK(text.samples.at("tcptrail_listener_drops_total{process=\"nginx\"," + at) == 10);
    CHECK(text.samples.at("tcptrail_listener_drops_total{process=\"other\"," + at) == 5);
}

TEST_CASE("endpoints: agent/serve/metrics.md tells each metric") {
    const std::string page = read_text("agent/serve/metrics.md");
    size_t rows = 0;
    std::string missing;
    for (const auto& [name, family] : metrics_of(with_kafka()).types) {
        const std::string row = "| `" + name + "` | " + family.first + " | " + family.second + " |\n";
        if (page.find(row) == std::string::npos) missing += row;
    }
    CHECK(missing == "");
    for (size_t at = 0; (at = page.find("\n| `", at)) != std::string::npos; ++at)
        ++rows;
    CHECK(rows == metrics_of(with_kafka()).types.size());
}
