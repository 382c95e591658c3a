// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/connection_metrics.h"

#include <iterator>
#include <random>
#include <string>
#include <utility>

#include "tests/catch.h"
#include "tests/unit/exposition_text.h"

using namespace tcptrail;
using connections::Connection;
using connections::End;
using connections::Kind;
using connections::Outcome;
using connections::Role;
using serve::ConnectionMetrics;
using serve::Label;
using serve::MetricsOptions;
using tests::MetricsText;

namespace {

MetricsText read(const ConnectionMetrics& metrics) {
    serve::Exposition to(serve::MetricsForm::prometheus);
    metrics.write(to);
    return tests::read_metrics(std::move(to).finish());
}

double bound(const ConnectionMetrics& metrics, const std::string& name) {
    serve::Exposition to(serve::MetricsForm::prometheus);
    metrics.write_bound(to);
    return tests::read_metrics(std::move(to).finish()).samples.at("tcptrail_" + name);
}

uint64_t now_ns = 0;
uint64_t now() {
    return now_ns;
}
void pass(uint64_t seconds) {
    now_ns += seconds * 1'000'000'000;
}

Connection ended(std::string_view process, uint8_t last_byte = 1, Role role = Role::client) {
    Connection c;
    c.kind = Kind::closed;
    c.role = role;
    c.has_addresses = true;
    c.local = {{10, 0, 0, 1}, 40000};
    c.remote = {{10, 0, 0, last_byte}, 443};
    c.owner.name = process;
    c.outcome = Outcome::established;
    c.end = End::remote_close;
    c.connect_us = 1500;
    c.lifetime_us = 2'000'000;
    c.idle_us = 60'000'000;
    c.traffic.emplace();
    c.traffic->bytes_sent = 100;
    c.traffic->bytes_received = 1000;
    c.traffic->data_segments_out = 50;
    c.traffic->retransmits = 3;
    c.traffic->rtt_us = 100;
    c.syn_retransmits = 1;
    return c;
}

const std::string curl = R"(role="client",process="curl",server_address="10.0.0.1",server_port="443")";

}  // namespace

TEST_CASE("connection metrics: what each event adds") {
    ConnectionMetrics metrics{MetricsOptions()};
    Connection c = ended("curl");
    metrics.add(c, {});
    MetricsText text = read(metrics);
    CHECK(text.samples.at("tcptrail_connections_opened_total{" + curl + "}") == 1);
    CHECK(text.samples.at("tcptrail_connections_ended_total{" + curl + ",end=\"remote_close\"}") == 1);
    CHECK(text.samples.at("tcptrail_connections_ended_total{" + curl + ",end=\"killed\"}") == 0);
    CHECK(text.samples.at("tcptrail_connections_failed_total{" + curl + ",outcome=\"refused\"}") == 0);
    CHECK(text.samples.at("tcptrail_sent_data_segments_total{" + curl + "}") == 50);
    CHECK(text.samples.at("tcptrail_retransmitted_segments_total{" + curl + "}") == 3);
    CHECK(text.samples.at("tcptrail_retransmitted_syns_total{" + curl + "}") == 1);
    CHECK(text.samples.at("tcptrail_network_io_bytes_total{" + curl +
                          ",network_io_direction=\"transmit\"}") == 100);
    CHECK(text.samples.at("tcptrail_network_io_bytes_total{" + curl + ",network_io_direction=\"receive\"}") ==
          1000);
    // The bound itself belongs to its bucket.
    const auto bucket = [&](const char* which, const char* le) {
        return text.samples.at(std::string("tcptrail_connection_") + which + "_seconds_bucket{" + curl +
                               ",le=\"" + le + "\"}");
    };
    CHECK(bucket("connect", "0.001") == 0);
    CHECK(bucket("connect", "0.005") == 1);
    CHECK(bucket("rtt", "0.0001") == 1);
    CHECK(bucket("duration", "1") == 0);
    CHECK(bucket("duration", "10") == 1);
    CHECK(bucket("idle_at_end", "60") == 1);
    CHECK(text.samples.at("tcptrail_connection_idle_at_end_seconds_sum{" + curl + "}") == 60);

    // Told while it is open, and again at its end: opened once.
    c.kind = Kind::opened;
    c.end = End::unspecified;
    metrics.add(c, {});
    c.told_before = true;
    c.kind = Kind::progress;
    metrics.add(c, {});
    c.kind = Kind::closed;
    c.end = End::local_reset;
    metrics.add(c, {});
    // A failed attempt, and one of which no end was seen.
    c = ended("curl");
    c.outcome = Outcome::refused;
    c.end = End::not_established;
    metrics.add(c, {});
    c.outcome = Outcome::unspecified;
    c.end = End::unspecified;
    c.traffic.reset();
    metrics.add(c, {});
    text = read(metrics);
    CHECK(text.samples.at("tcptrail_connections_opened_total{" + curl + "}") == 2);
    CHECK(text.sum("tcptrail_connections_ended_total") == 2);
    CHECK(text.sum("tcptrail_connections_ended_total", {R"(end="local_reset")"}) == 1);
    CHECK(text.sum("tcptrail_connections_failed_total", {R"(outcome="refused")"}) == 1);
    CHECK(text.sum("tcptrail_connections_failed_total", {R"(outcome="unknown")"}) == 1);
    CHECK(text.sum("tcptrail_connection_duration_seconds_count") == 2);
    CHECK(text.sum("tcptrail_connection_connect_seconds_count") == 2);
}

TEST_CASE("connection metrics: an attempt that is open is none yet") {
    ConnectionMetrics metrics{MetricsOptions()};
    Connection c = ended("curl");
    c.kind = Kind::progress;
    c.outcome = Outcome::unspecified;
    metrics.add(c, {});
    CHECK(read(metrics).sum("tcptrail_connections_opened_total") == 0);
}

TEST_CASE("connection metrics: which end is the server's") {
    MetricsOptions options;
    options.labels = {Label::server_address, Label::server_port, Label::remote_scope, Label::netns};
    ConnectionMetrics metrics(options);
    Connection c = ended("x", 7, Role::server);
    c.netns = 42;
    c.remote_scope = connections::Scope::private_network;
    metrics.add(c, {});
    c.role = Role::unspecified;
    metrics.add(c, {});
    c.role = Role::client;
    c.ipv6 = true;
    c.remote.address = {0x20, 1, 0xd, 0xb8};
    metrics.add(c, {});
    c.has_addresses = false;
    metrics.add(c, {});
    const MetricsText text = read(metrics);
    const auto opened = [&](const std::string& labels) {
        return text.samples.at("tcptrail_connections_opened_total{" + labels +
                               ",remote_scope=\"private\",netns=\"42\"}");
    };
    CHECK(opened(R"(role="server",server_address="10.0.0.1",server_port="40000")") == 1);
    CHECK(opened(R"(role="unknown",server_address="",server_port="")") == 1);
    CHECK(opened(R"(role="client",server_address="2001:db8::",server_port="443")") == 1);
    CHECK(opened(R"(role="client",server_address="",server_port="")") == 1);
}

TEST_CASE("connection metrics: distributions that are chosen") {
    MetricsOptions options;
    options.labels.clear();
    options.histograms = {serve::Histogram::accept_wait, serve::Histogram::idle_at_reset};
    ConnectionMetrics metrics(options);
    Connection c = ended("nginx", 1, Role::server);
    c.accept_wait_us = 20'000;
    metrics.add(c, {});
    c.end = End::remote_reset;
    c.accept_wait_us.reset();
    metrics.add(c, {});
    const MetricsText text = read(metrics);
    const auto of_server = [&](const std::string& name) {
        return text.samples.at("tcptrail_connection_" + name + "{role=\"server\"}");
    };
    CHECK(of_server("accept_wait_seconds_count") == 1);
    CHECK(of_server("accept_wait_seconds_sum") == 0.02);
    CHECK(of_server("idle_at_reset_seconds_count") == 1);
    CHECK(of_server("idle_at_reset_seconds_sum") == 60);
    CHECK(text.samples.at(R"(tcptrail_connection_accept_wait_seconds_bucket{role="server",le="0.01"})") == 0);
    CHECK(text.samples.at(R"(tcptrail_connection_accept_wait_seconds_bucket{role="server",le="0.05"})") == 1);
    CHECK(text.count("tcptrail_connection_rtt") == 0);
}

// All series of a set are counted, whatever is chosen.
TEST_CASE("connection metrics: as many series as the bound says, with any choice of distributions") {
    for (size_t chosen = 0; chosen <= std::size(serve::histogram_names); ++chosen) {
        INFO(chosen);
        MetricsOptions options;
        options.max_series = 5000;
        options.histograms.clear();
        for (size_t i = 0; i < chosen; ++i)
            options.histograms.push_back(static_cast<serve::Histogram>(i));
        ConnectionMetrics metrics(options);
        for (int i = 0; i < 1000; ++i)
            metrics.add(ended("p" + std::to_string(i)), {});
        const MetricsText text = read(metrics);
        const size_t sets = text.count("tcptrail_connections_opened_total");
        const size_t of_a_set = text.samples.size() / sets;
        CHECK(text.samples.size() == sets * of_a_set);
        CHECK(of_a_set == 24 + 14 * chosen);
        CHECK(sets == 5000 / of_a_set);
    }
}

TEST_CASE("connection metrics: a bound on series, and totals that stay right") {
    MetricsOptions options;
    options.max_series = 1000;
    ConnectionMetrics metrics(options);
    const unsigned seed = 20261128;
    INFO("seed " << seed);
    std::mt19937 random(seed);
    constexpr int count = 20000;
    for (int i = 0; i < count; ++i) {
        Connection c = ended("p" + std::to_string(random() % 300), static_cast<uint8_t>(random() % 200),
                             random() % 2 ? Role::client : Role::server);
        metrics.add(c, {});
        if (i == 2000 || i == count - 1) {
            const MetricsText text = read(metrics);
            CHECK(text.samples.size() <= 1000);
            CHECK(text.samples.size() > 900);
            CHECK(text.sum("tcptrail_connections_opened_total") == i + 1);
            CHECK(text.sum("tcptrail_connections_ended_total", {R"(end="remote_close")"}) == i + 1);
            CHECK(text.sum("tcptrail_connection_rtt_seconds_count") == i + 1);
            CHECK(text.sum("tcptrail_network_io_bytes_total", {"receive"}) == 1000.0 * (i + 1));
            CHECK(text.sum("tcptrail_connections_opened_total", {R"(process="other")"}) > i / 2);
            CHECK(text.sum("tcptrail_connections_ended_total", {R"(process="other")"}) ==
                  bound(metrics, "other_ends_total"));
            CHECK(bound(metrics, "label_sets") == bound(metrics, "label_sets_limit"));
            CHECK(text.count("tcptrail_connections_opened_total") == bound(metrics, "label_sets") + 3);
        }
    }
}

TEST_CASE("connection metrics: who came first keeps his series") {
    MetricsOptions options;
    options.max_series = 1000;
    ConnectionMetrics metrics(options);
    for (int i = 0; i < 1000; ++i)
        metrics.add(ended("p" + std::to_string(i)), {});
    metrics.add(ended("p0"), {});
    const MetricsText text = read(metrics);
    CHECK(text.sum("tcptrail_connections_opened_total", {R"(process="p0")"}) == 2);
    CHECK(text.count("tcptrail_connections_opened_total{role=\"client\",process=\"p999\"") == 0);
}

// The room that metrics.md, sizing.md and tcptrail.yaml tell of.
TEST_CASE("connection metrics: how many sets there is room for") {
    MetricsOptions options;
    CHECK(bound(ConnectionMetrics(options), "label_sets_limit") == 122);
    CHECK(bound(ConnectionMetrics(options), "label_sets") == 0);
    options.histograms = {serve::Histogram::connect};
    CHECK(bound(ConnectionMetrics(options), "label_sets_limit") == 260);
    options.histograms.clear();
    CHECK(bound(ConnectionMetrics(options), "label_sets_limit") == 413);
    options.max_series = 200000;
    CHECK(bound(ConnectionMetrics(options), "label_sets_limit") == 8330);
    options.labels.clear();
    CHECK(bound(ConnectionMetrics(options), "label_sets_limit") == 0);
}

TEST_CASE("connection metrics: who is silent for an hour gives way where there is no room") {
    MetricsOptions options;
    options.max_series = 1000;
    ConnectionMetrics metrics(options, now);
    const int most = static_cast<int>(bound(metrics, "label_sets_limit"));
    REQUIRE(most == 9);
    const auto opened = [&](const std::string& process) {
        const MetricsText text = read(metrics);
        const std::string labels = "process=\"" + process + "\"";
        return text.count("tcptrail_connections_opened_total{role=\"client\"," + labels) == 0
                   ? -1
                   : text.sum("tcptrail_connections_opened_total", {labels});
    };
    for (int i = 0; i < most; ++i)
        metrics.add(ended("p" + std::to_string(i)), {});
    pass(3599);
    // In use: an event of p1, and one of a connection of p2 that is open. The latter says nothing of who has
    // no set.
    metrics.add(ended("p1"), {});
    Connection open = ended("p2");
    open.kind = Kind::progress;
    open.told_before = true;
    metrics.add(open, {});
    open.owner.name = "nobody";
    metrics.add(open, {});
    metrics.add(ended("new"), {});
    CHECK(opened("new") == -1);
    CHECK(opened("nobody") == -1);
    CHECK(opened("other") == 1);
    CHECK(bound(metrics, "other_ends_total") == 1);
    pass(1);
    metrics.add(ended("new"), {});
    metrics.add(ended("new"), {});
    CHECK(opened("new") == 2);
    CHECK(opened("p0") == -1);
    CHECK(opened("p1") == 2);
    CHECK(opened("p2") == 1);
    CHECK(opened("other") == 1);  // nothing moves there
    CHECK(bound(metrics, "label_sets") == most);
    CHECK(bound(metrics, "label_sets_replaced_total") == 1);
    // All but those in use, one after the other; then there is no room again.
    for (int i = 0; i < most; ++i)
        metrics.add(ended("q" + std::to_string(i)), {});
    CHECK(bound(metrics, "label_sets_replaced_total") == most - 2);
    CHECK(opened("p1") == 2);
    CHECK(opened("p2") == 1);
    CHECK(opened("new") == 2);
    CHECK(bound(metrics, "other_ends_total") == 4);
    // Who comes back begins anew.
    pass(3600);
    metrics.add(ended("p0"), {});
    CHECK(opened("p0") == 1);
    CHECK(bound(metrics, "label_sets") == most);
}

TEST_CASE("connection metrics: without labels there are the roles, from the beginning") {
    MetricsOptions options;
    options.labels.clear();
    options.histograms.clear();
    ConnectionMetrics metrics(options);
    MetricsText text = read(metrics);
    CHECK(text.samples.at(R"(tcptrail_connections_failed_total{role="client",outcome="timed_out"})") == 0);
    metrics.add(ended("a"), {});
    metrics.add(ended("b", 9), {});
    text = read(metrics);
    CHECK(text.samples.at(R"(tcptrail_connections_opened_total{role="client"})") == 2);
    CHECK(text.samples.at(R"(tcptrail_connections_opened_total{role="server"})") == 0);
    CHECK(text.count("tcptrail_connection_") == 0);
}

TEST_CASE("connection metrics: by unit, pod and container") {
    MetricsOptions options;
    options.labels = {Label::systemd_unit,  Label::k8s_namespace,     Label::k8s_pod,
                      Label::k8s_container, Label::k8s_workload_kind, Label::k8s_workload};
    options.histograms.clear();
    ConnectionMetrics metrics(options);
    context::Identity service, pod;
    service.systemd_unit = "nginx.service";
    pod.pod.name_space = "shop";
    pod.pod.pod = "web-x2x9z";
    pod.pod.container = "side-car";
    pod.pod.workload_kind = "Deployment";
    pod.pod.workload = "web";
    metrics.add(ended("a"), service);
    metrics.add(ended("a"), pod);
    const MetricsText text = read(metrics);
    CHECK(
        text.samples.at(
            R"(tcptrail_connections_opened_total{role="client",systemd_unit="nginx.service",k8s_namespace_name="",k8s_pod_name="",k8s_container_name="",k8s_workload_kind="",k8s_workload_name=""})") ==
        1);
    CHECK(
        text.samples.at(
            R"(tcptrail_connections_opened_total{role="client",systemd_unit="",k8s_namespace_name="shop",k8s_pod_name="web-x2x9z",k8s_container_name="side-car",k8s_workload_kind="Deployment",k8s_workload_name="web"})") ==
        1);
}

TEST_CASE("connection metrics: odd names do not make a series twice") {
    MetricsOptions options;
    options.labels = {Label::process, Label::cgroup};
    ConnectionMetrics metrics(options);
    context::Identity identity;
    int count = 0;
    for (const std::string name :
         {"other", "\xff", "\\xff", "a\"b", "a\\", "", "a\nb", "\xc3\xa9", "a,b=\"c\"", "\x01", "ab", "a"})
        for (const std::string cgroup : {"other", "", "b", "\xfe"}) {
            identity.cgroup_path = cgroup;
            metrics.add(ended(name), identity);
            metrics.add(ended(name), identity);
            count += 2;
        }
    const MetricsText text = read(metrics);  // throws where there is one twice
    CHECK(text.sum("tcptrail_connections_opened_total") == count);
    // Those of "other" in "other" are in the set of that name; \xff is a byte that is shown like these four.
    CHECK(text.count("tcptrail_connections_opened_total{role=\"client\"") == 11 * 4);
}

TEST_CASE("connection metrics: a configuration that is read anew") {
    MetricsOptions options;
    ConnectionMetrics metrics(options);
    metrics.add(ended("curl"), {});
    options.listen = "[::1]:1";
    options.token_file = "/x";
    metrics.reconfigure(options);
    CHECK(read(metrics).sum("tcptrail_connections_opened_total") == 1);
    options.labels = {Label::process};
    metrics.reconfigure(options);
    CHECK(read(metrics).sum("tcptrail_connections_opened_total") == 0);
    metrics.add(ended("curl"), {});
    CHECK(read(metrics).samples.at(R"(tcptrail_connections_opened_total{role="client",process="curl"})") ==
          1);
    options.max_series = 1000;
    metrics.reconfigure(options);
    CHECK(read(metrics).sum("tcptrail_connections_opened_total") == 0);
}
