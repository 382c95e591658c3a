// SPDX-License-Identifier: Apache-2.0
//
// /metrics, /healthz and /readyz of a running agent, beside what the generator, the kernel and `tcptrail
// status` say.
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/kafka/process.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/http.h"
#include "tests/kernel/observer.h"
#include "tests/kernel/scenes.h"
#include "tests/unit/exposition_text.h"

using namespace tcptrail::test;
using nlohmann::json;
using tests::eventually;
using tests::MetricsText;
using tests::Process;
using tests::seconds;

namespace {

std::string generator() {
    const char* const build = std::getenv("BUILD");
    return std::string(build ? build : "build") + "/tests/tools/generate";
}

bool has(const std::string& program) {
    return tests::run({"/bin/sh", "-c", "command -v " + program}).status == 0;
}

// An agent that serves at a port of its own.
class Agent {
public:
    explicit Agent(const std::vector<std::string>& settings = {}) {
        std::vector<std::string> command = {
            binary(), "run",
            "--set",  "serve.socket=" + socket(),
            "--set",  "serve.metrics.listen=127.0.0.1:" + std::to_string(port),
            "--set",  "output.format=jsonl"};
        for (const std::string& setting : settings)
            command.insert(command.end(), {"--set", setting});
        process = std::make_unique<Process>(command);
        REQUIRE(eventually(seconds(60), [&] { return http_get(port, "/healthz").status == 200; }));
    }
    void stop() {
        process->signal(SIGTERM);
        CHECK(process->wait(seconds(60)) == 0);
    }
    std::string socket() const { return folder.path() / "agent.sock"; }
    MetricsText metrics() const { return tests::read_metrics(http_get(port, "/metrics").body); }

    tests::Folder folder;
    uint16_t port = free_port();
    std::unique_ptr<Process> process;
};

// Which must find nothing.
void check_with_promtool(const std::string& text, const std::string& path) {
    std::ofstream(path) << text;
    const auto checked = tests::run({"/bin/sh", "-c", "promtool check metrics <" + path});
    INFO(checked.output << checked.errors);
    CHECK(checked.status == 0);
    CHECK(checked.output + checked.errors == "");
}

void check_forms(const Agent& agent) {
    const HttpAnswer text = http_get(agent.port, "/metrics");
    CHECK(text.head.find("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n") != std::string::npos);
    const HttpAnswer open =
        http_get(agent.port, "/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n");
    CHECK(open.head.find("Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n") !=
          std::string::npos);
    CHECK(open.body.ends_with("\n# EOF\n"));
    if (!has("promtool")) {
        WARN("there is no promtool here: what it says of the metrics is not known");
        return;
    }
    check_with_promtool(text.body, agent.folder.path() / "metrics");
}

}  // namespace

TEST_CASE("metrics: totals are the generator's, with more destinations than there are series", "[kernel]") {
    const Agent agent({"serve.metrics.max_series=1000", "connections.progress_interval_secs=0"});
    const std::string of_client = R"(role="client")", of_server = R"(role="server")";
    // Others are on this machine too: what they do goes to other names. The generator's own are there first.
    uint64_t made = 0;
    if (std::filesystem::exists(generator())) {
        const MetricsText before = agent.metrics();
        const auto generated = tests::run(
            {generator(), "--connections", "3000", "--addresses", "500", "--bytes", "10", "--netns", "new"});
        INFO(generated.output << generated.errors);
        REQUIRE(generated.status == 0);
        made = json::parse(generated.output).at("connections");
        REQUIRE(made == 3000);
    } else {  // in a guest
        Netns net;
        Actor server(net, "metrics-server");
        Actor client(net, "metrics-client");
        made = 500;
        burst(client, server, static_cast<int>(made));
    }
    MetricsText text;
    CHECK(eventually(seconds(60), [&] {
        text = agent.metrics();
        return text.sum("tcptrail_connections_ended_total") >= 2.0 * static_cast<double>(made);
    }));
    CHECK(text.count("tcptrail_connection") + text.count("tcptrail_sent") +
              text.count("tcptrail_retransmitted") + text.count("tcptrail_network_io") <=
          1000);
    CHECK(text.samples.at("tcptrail_label_sets") <= text.samples.at("tcptrail_label_sets_limit"));
    CHECK(text.samples.at("tcptrail_label_sets_limit") == 9);
    for (const std::string& role : {of_client, of_server}) {
        INFO(role);
        CHECK(text.sum("tcptrail_connections_opened_total", {role}) >= static_cast<double>(made));
        CHECK(text.sum("tcptrail_connections_ended_total", {role}) >= static_cast<double>(made));
    }
    // All that was told, whoever did it, is in these sums: no more and no less, at any moment.
    const MetricsText now = agent.metrics();
    CHECK(now.sum("tcptrail_connections_ended_total") + now.sum("tcptrail_connections_failed_total") ==
          now.sum("tcptrail_stage_out_total", {R"(stage="connections")"}));
    check_forms(agent);
}

TEST_CASE("metrics: each figure of one process, and those of status", "[kernel]") {
    Agent agent({"serve.metrics.labels=process", "connections.progress_interval_secs=0",
                 "serve.metrics.histograms=connect,rtt,lifetime,idle,accept_wait,idle_at_reset"});
    Netns net;
    Actor server(net, "figures-server");
    Actor client(net, "figures-client");
    burst(client, server, 200);
    const int refused = client.call([] { return connect_to(loopback(AF_INET, 9)); });
    CHECK(refused < 0);
    const Connection open = establish(client, server, loopback(AF_INET));
    const std::string of_client = R"(role="client",process="figures-client")";
    const std::string of_server = R"(role="server",process="figures-server")";
    MetricsText text;
    const auto value = [&](const std::string& name, const std::string& labels) {
        const auto found = text.samples.find(name + "{" + labels + "}");
        return found == text.samples.end() ? -1 : found->second;
    };
    CHECK(eventually(seconds(60), [&] {
        text = agent.metrics();
        return value("tcptrail_connections_opened_total", of_client) +
                       value("tcptrail_connections_opened_total", of_server) ==
                   400 &&
               value("tcptrail_connections_failed_total", of_client + R"(,outcome="refused")") == 1;
    }));
    // But for what a processor that cannot be traced has hidden.
    const double ended = value("tcptrail_connections_ended_total", of_client + R"(,end="local_close")");
    CHECK(ended + value("tcptrail_connections_ended_total", of_client + R"(,end="unknown")") == 200);
    CHECK(value("tcptrail_connection_connect_seconds_count", of_client) >= 190);
    CHECK(value("tcptrail_connection_duration_seconds_count", of_server) >= 190);
    CHECK(value("tcptrail_connections_failed_total", of_client + R"(,outcome="timed_out")") == 0);
    CHECK(value("tcptrail_connection_accept_wait_seconds_count", of_server) >= 190);
    CHECK(value("tcptrail_connection_accept_wait_seconds_count", of_client) == 0);
    CHECK(value("tcptrail_sent_data_segments_total", of_client) >= 0);
    CHECK(text.samples.at("tcptrail_label_sets") >= 2);

    // What is open, as of the last look.
    const std::string here = "netns=\"" + std::to_string(net.inode()) + "\"";
    CHECK(eventually(seconds(30), [&] {
        text = agent.metrics();
        return value("tcptrail_open_connections", here) == 2 &&
               value("tcptrail_time_wait_sockets", here) >= 0;
    }));
    CHECK(value("tcptrail_local_ports", here) > 1000);
    close_socket(client, open.client_fd);
    close_socket(server, open.server_fd);

    // Both ask for the same account. Others may have done something in between.
    const auto status = tests::run({binary(), "status", "--socket", agent.socket(), "-o", "json"});
    REQUIRE(status.status == 0);
    const json report = json::parse(status.output);
    text = agent.metrics();
    for (const json& stage : report.at("stages")) {
        const std::string name = "stage=\"" + stage.at("name").get<std::string>() + "\"";
        INFO(name);
        CHECK(value("tcptrail_stage_in_total", name) >= std::stod(stage.at("in").get<std::string>()) - 1000);
        CHECK(text.sum("tcptrail_stage_in_total", {name}) ==
              text.sum("tcptrail_stage_out_total", {name}) + text.sum("tcptrail_stage_held", {name}) +
                  text.sum("tcptrail_stage_lost_total", {name}));
    }
    CHECK(text.samples.at("tcptrail_ring_size_bytes") ==
          std::stod(report.at("ring_bytes").get<std::string>()));
    std::set<std::string> hooks;
    for (const json& hook : report.at("hooks"))
        hooks.insert(hook.at("name"));
    CHECK(text.count("tcptrail_hook_attached") == hooks.size());
    CHECK(text.samples.at("tcptrail_audit_violated_total") == 0);
    CHECK(text.samples.at("tcptrail_capture_ratio") >= 0.99);
    CHECK(text.samples.at("tcptrail_capture_told_total") >= 400);
    CHECK(text.samples.at("tcptrail_capture_told_total") >=
          0.99 * text.samples.at("tcptrail_capture_counted_total"));
    CHECK(http_get(agent.port, "/readyz").body == "ready\n");
    CHECK(text.samples.at("tcptrail_ready") == 1);
    CHECK(text.samples.at("tcptrail_config_loaded_timestamp_seconds") >=
          text.samples.at("process_start_time_seconds"));
    CHECK(text.samples.at("tcptrail_config_reloads_failed_total") == 0);
    check_forms(agent);
    agent.stop();
    CHECK(http_get(agent.port, "/healthz").status == 0);
}

TEST_CASE("metrics: a reload forgets none", "[kernel]") {
    Agent agent({"serve.metrics.labels=process", "connections.progress_interval_secs=0"});
    Netns net;
    Actor server(net, "reload-server");
    Actor client(net, "reload-client");
    const auto opened = [&] {
        return agent.metrics().sum("tcptrail_connections_opened_total", {R"(process="reload-client")"});
    };
    burst(client, server, 100);
    CHECK(eventually(seconds(60), [&] { return opened() == 100; }));
    const auto loaded = [&] {
        return agent.metrics().samples.at("tcptrail_config_loaded_timestamp_seconds");
    };
    const double first_loaded = loaded();
    agent.process->signal(SIGHUP);
    const auto starts = [&] {
        const std::string log = agent.process->errors();
        int found = 0;
        for (size_t at = 0; (at = log.find("tracing the TCP connections", at)) != std::string::npos; ++at)
            ++found;
        return found;
    };
    REQUIRE(eventually(seconds(60), [&] { return starts() == 2; }));
    burst(client, server, 50);
    CHECK(eventually(seconds(60), [&] { return opened() == 150; }));
    CHECK(loaded() > first_loaded);
    agent.stop();
}

TEST_CASE("metrics: who reads slowly, or asks for nonsense, holds up nothing", "[kernel]") {
    Agent agent({"serve.metrics.labels=process", "serve.metrics.max_series=200000"});
    Netns net;
    Actor server(net, "busy-server");
    Actor client(net, "busy-client");
    std::vector<tcptrail::Fd> slow;
    for (int i = 0; i < 40; ++i) {
        slow.push_back(http_begin(agent.port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"));
        slow.push_back(http_begin(agent.port, "GET / HTTP/1.1\r\nX: " + std::string(1000, 'x')));
        slow.push_back(http_begin(agent.port, std::string(10000, 'x')));
    }
    burst(client, server, 500);
    MetricsText text;
    CHECK(eventually(seconds(60), [&] {
        text = agent.metrics();
        return text.sum("tcptrail_connections_ended_total", {R"(process="busy-client")"}) == 500 &&
               text.sum("tcptrail_connections_ended_total", {R"(process="busy-server")"}) == 500;
    }));
    CHECK(text.sum("tcptrail_stage_lost_total") == 0);
    CHECK(text.samples.at("tcptrail_audit_violated_total") == 0);
    agent.stop();
}

TEST_CASE("metrics: a token, a Unix socket, and a port that is taken", "[kernel]") {
    const tests::Folder folder;
    const std::string token = folder.path() / "token";
    std::ofstream(token) << "0123456789abcdef\n";
    Agent agent({"serve.metrics.token_file=" + token});
    CHECK(http_get(agent.port, "/metrics").status == 401);
    CHECK(http_get(agent.port, "/metrics", "Authorization: Bearer 0123456789abcdef\r\n").status == 200);
    CHECK(http_get(agent.port, "/readyz").status == 200);

    // Rotated as Kubernetes does, and in place; nobody tells the agent. A file without a token changes
    // nothing.
    const auto status_with = [&](const std::string& given) {
        return http_get(agent.port, "/metrics", "Authorization: Bearer " + given + "\r\n").status;
    };
    const auto becomes = [&](const std::string& given) {
        return eventually(seconds(10), [&] { return status_with(given) == 200; });
    };
    std::ofstream(token + ".new") << "fedcba9876543210\n";
    std::filesystem::rename(token + ".new", token);
    CHECK(becomes("fedcba9876543210"));
    CHECK(status_with("0123456789abcdef") == 401);
    std::ofstream(token) << "\n";
    CHECK(eventually(seconds(10), [&] {
        (void)status_with("");
        return agent.process->errors().find("the token before stays in force") != std::string::npos;
    }));
    CHECK(status_with("fedcba9876543210") == 200);
    std::filesystem::remove(token);
    std::ofstream(token) << "0123456789ABCDEF\n";
    CHECK(becomes("0123456789ABCDEF"));
    CHECK(status_with("fedcba9876543210") == 401);

    // A configuration that is refused: nothing but a figure and the log says so.
    const auto figures = [&] {
        return tests::read_metrics(
            http_get(agent.port, "/metrics", "Authorization: Bearer 0123456789ABCDEF\r\n").body);
    };
    const double loaded = figures().samples.at("tcptrail_config_loaded_timestamp_seconds");
    std::filesystem::remove(token);
    agent.process->signal(SIGHUP);
    CHECK(eventually(seconds(10),
                     [&] { return figures().samples.at("tcptrail_config_reloads_failed_total") == 1; }));
    CHECK(figures().samples.at("tcptrail_config_loaded_timestamp_seconds") == loaded);

    // The second traces all the same, and serves when the first has gone.
    const std::string where = "127.0.0.1:" + std::to_string(agent.port);
    Process second({binary(), "run", "--set", "serve.socket=", "--set", "serve.metrics.listen=" + where});
    REQUIRE(eventually(seconds(60), [&] {
        return second.errors().find("metrics cannot be served at " + where) != std::string::npos;
    }));
    agent.stop();
    CHECK(eventually(seconds(60), [&] { return http_get(agent.port, "/metrics").status == 200; }));
    second.signal(SIGTERM);
    CHECK(second.wait(seconds(60)) == 0);

    const std::string socket = folder.path() / "metrics.sock";
    Process third({binary(), "run", "--set", "serve.socket=", "--set", "serve.metrics.listen=" + socket});
    CHECK(eventually(seconds(60), [&] { return http_get(socket, "/readyz").status == 200; }));
    third.signal(SIGTERM);
    CHECK(third.wait(seconds(60)) == 0);
    CHECK_FALSE(std::filesystem::exists(socket));
}
