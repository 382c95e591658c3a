// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/filter.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "schemas/v1/agent.pb.h"
#include "schemas/v1/connection.pb.h"
#include "tests/catch.h"

namespace {

using namespace tcptrail;
using commands::Filter;
using commands::FilterOptions;
using commands::Network;
using commands::RoleFilter;

v1::ConnectionEvent event() {
    v1::ConnectionEvent e;
    e.set_kind(v1::EVENT_KIND_CLOSED);
    e.set_role(v1::ROLE_CLIENT);
    e.set_local_address("10.1.2.3");
    e.set_local_port(40000);
    e.set_remote_address("192.0.2.7");
    e.set_remote_port(443);
    e.set_netns(4026531840);
    e.mutable_process()->set_pid(1234);
    e.mutable_process()->set_name("nginx");
    e.set_outcome(v1::OUTCOME_ESTABLISHED);
    return e;
}

bool matches(const FilterOptions& options, const v1::ConnectionEvent& e = event()) {
    const auto filter = Filter::make(options);
    REQUIRE(filter.has_value());
    return filter->matches(e);
}

bool contains(const std::string& network, std::string_view address) {
    const auto parsed = Network::parse(network);
    INFO(network);
    REQUIRE(parsed.has_value());
    return parsed->contains(address);
}

std::string network_error(const std::string& text) {
    const auto network = Network::parse(text);
    REQUIRE_FALSE(network.has_value());
    CHECK(network.error().code == ExitCode::usage);
    return network.error().message;
}

// The options that a command line gives; `error` is what it is refused with.
struct Parsed {
    FilterOptions options;
    std::vector<std::string> rest;
    std::string error;
};

Parsed parse(std::vector<std::string> arguments) {
    Parsed parsed;
    CLI::App app;
    commands::add_filter_options(app, parsed.options);
    app.add_option("rest", parsed.rest);
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
    try {
        app.parse(arguments);
    } catch (const CLI::ParseError& error) {
        parsed.error = error.what();
    }
    return parsed;
}

}  // namespace

TEST_CASE("filter: no options let everything pass", "[filter]") {
    CHECK(matches({}));
    CHECK(matches({}, v1::ConnectionEvent()));
}

TEST_CASE("filter: by process id", "[filter]") {
    CHECK(matches({.pids = {1234}}));
    CHECK(matches({.pids = {1, 1234}}));
    CHECK_FALSE(matches({.pids = {1, 2}}));
    CHECK_FALSE(matches({.pids = {1}}, v1::ConnectionEvent()));
}

TEST_CASE("filter: by process name or glob", "[filter]") {
    CHECK(matches({.processes = {"nginx"}}));
    CHECK(matches({.processes = {"curl", "ng*x"}}));
    CHECK(matches({.processes = {"ngin?"}}));
    CHECK_FALSE(matches({.processes = {"ngin"}}));
    CHECK_FALSE(matches({.processes = {"NGINX"}}));

    auto odd = event();
    odd.mutable_process()->set_name("[main]");
    CHECK(matches({.processes = {"[main]"}}, odd));
    CHECK_FALSE(matches({.processes = {"m"}}, odd));
}

TEST_CASE("filter: by systemd unit", "[filter]") {
    auto e = event();
    e.mutable_process()->set_systemd_unit("nginx.service");
    CHECK(matches({.units = {"nginx.service"}}, e));
    CHECK(matches({.units = {"nginx"}}, e));
    CHECK(matches({.units = {"a", "ngin*"}}, e));
    CHECK_FALSE(matches({.units = {"nginx.socket"}}, e));
    CHECK_FALSE(matches({.units = {"ngin"}}, e));
    CHECK_FALSE(matches({.units = {"nginx"}}));
    e.mutable_process()->set_systemd_unit("session-3.scope");
    CHECK(matches({.units = {"session-*.scope"}}, e));
    CHECK_FALSE(matches({.units = {"session-3"}}, e));

    e.mutable_process()->set_systemd_slice("user-1000.slice");
    CHECK(matches({.units = {"user-1000.slice"}}, e));
    CHECK(matches({.units = {"user-*.slice"}}, e));
    CHECK_FALSE(matches({.units = {"system.slice"}}, e));
    CHECK_FALSE(matches({.units = {"user-1000"}}, e));

    v1::Listener listener;
    listener.set_systemd_unit("nginx.service");
    listener.set_systemd_slice("system.slice");
    CHECK(Filter::make({.units = {"nginx"}})->matches(listener));
    CHECK(Filter::make({.units = {"system.slice"}})->matches(listener));
    CHECK_FALSE(Filter::make({.units = {"apache2"}})->matches(listener));
}

TEST_CASE("filter: by pod", "[filter]") {
    auto e = event();
    e.mutable_kubernetes()->set_namespace_("shop");
    e.mutable_kubernetes()->set_pod("web-7d4b9c6f5-x2x9z");
    CHECK(matches({.namespaces = {"shop"}, .pods = {"web-*"}}, e));
    CHECK_FALSE(matches({.namespaces = {"kube-*"}, .pods = {"web-*"}}, e));
    CHECK_FALSE(matches({.pods = {"web"}}, e));
    CHECK_FALSE(matches({.namespaces = {"shop"}}));
    CHECK_FALSE(matches({.pods = {"web-*"}}));

    v1::Listener listener;
    listener.set_pod_namespace("shop");
    listener.set_pod("web-7d4b9c6f5-x2x9z");
    CHECK(Filter::make({.namespaces = {"shop"}, .pods = {"web-*"}})->matches(listener));
    CHECK_FALSE(Filter::make({.namespaces = {"bank"}})->matches(listener));
}

TEST_CASE("filter: by workload", "[filter]") {
    auto e = event();
    e.mutable_kubernetes()->set_workload_kind("Deployment");
    e.mutable_kubernetes()->set_workload("web");
    CHECK(matches({.workloads = {"web"}}, e));
    CHECK(matches({.workloads = {"api", "Deployment/w*"}}, e));
    CHECK_FALSE(matches({.workloads = {"StatefulSet/web"}}, e));
    CHECK_FALSE(matches({.workloads = {"Deployment"}}, e));
    CHECK_FALSE(matches({.workloads = {"web"}}));
    CHECK(parse({"--workload", "CronJob/night"}).options.workloads ==
          std::vector<std::string>{"CronJob/night"});

    v1::Listener listener;
    listener.set_workload_kind("Deployment");
    listener.set_workload("web");
    CHECK(Filter::make({.workloads = {"Deployment/web"}})->matches(listener));
    CHECK_FALSE(Filter::make({.workloads = {"api"}})->matches(listener));
}

TEST_CASE("filter: by the beginning of a container's id, or its name in a pod", "[filter]") {
    auto e = event();
    e.mutable_process()->set_container_id("8d6a0f3b");
    CHECK(matches({.containers = {"8d6a"}}, e));
    CHECK(matches({.containers = {"1", "8d6a0f3b"}}, e));
    CHECK_FALSE(matches({.containers = {"6a"}}, e));
    CHECK_FALSE(matches({.containers = {"8d6a"}}));
    CHECK(parse({"--container", "8d6a"}).options.containers == std::vector<std::string>{"8d6a"});
    e.mutable_kubernetes()->set_container("side-car");
    CHECK(matches({.containers = {"side-*"}}, e));
    CHECK_FALSE(matches({.containers = {"side"}}, e));
    e.mutable_process()->set_container_name("project_Web_1");
    CHECK(matches(parse({"--container", "project_Web_1"}).options, e));
    for (const char* wrong : {"", "web server", "a/b"}) {
        INFO(wrong);
        CHECK(parse({"--container", wrong}).error.find("is neither the beginning of a container's id") !=
              std::string::npos);
    }
}

TEST_CASE("filter: by port of either end", "[filter]") {
    CHECK(matches({.ports = {443}}));
    CHECK(matches({.ports = {40000}}));
    CHECK(matches({.ports = {80, 443}}));
    CHECK_FALSE(matches({.ports = {80}}));
}

TEST_CASE("filter: by address of either end", "[filter]") {
    CHECK(matches({.addresses = {"10.0.0.0/8"}}));
    CHECK(matches({.addresses = {"192.0.2.7"}}));
    CHECK(matches({.addresses = {"::1", "192.0.2.0/24"}}));
    CHECK_FALSE(matches({.addresses = {"172.16.0.0/12"}}));
    CHECK_FALSE(matches({.addresses = {"::/0"}}));
}

TEST_CASE("filter: by role and by namespace", "[filter]") {
    CHECK(matches({.role = RoleFilter::client}));
    CHECK_FALSE(matches({.role = RoleFilter::server}));
    CHECK_FALSE(matches({.role = RoleFilter::client}, v1::ConnectionEvent()));
    CHECK(matches({.netns = 4026531840}));
    CHECK_FALSE(matches({.netns = 4026531841}));
}

TEST_CASE("filter: failed means not established", "[filter]") {
    CHECK_FALSE(matches({.failed = true}));
    auto e = event();
    e.set_outcome(v1::OUTCOME_REFUSED);
    CHECK(matches({.failed = true}, e));
    e.set_outcome(v1::OUTCOME_UNSPECIFIED);  // still pending
    CHECK_FALSE(matches({.failed = true}, e));
    e.set_outcome(v1::OUTCOME_ESTABLISHED);
    e.set_end(v1::END_REMOTE_RESET);  // broke later
    CHECK_FALSE(matches({.failed = true}, e));
}

TEST_CASE("filter: all options must hold", "[filter]") {
    CHECK(matches({.pids = {1234}, .processes = {"nginx"}, .ports = {443}, .addresses = {"10.1.2.3"}}));
    CHECK_FALSE(matches({.pids = {1234}, .processes = {"nginx"}, .ports = {80}, .addresses = {"10.1.2.3"}}));
    CHECK_FALSE(matches({.pids = {1234}, .role = RoleFilter::server}));
}

TEST_CASE("filter: networks", "[filter]") {
    CHECK(contains("0.0.0.0/0", "255.255.255.255"));
    CHECK(contains("10.0.0.0/9", "10.127.255.255"));
    CHECK_FALSE(contains("10.0.0.0/9", "10.128.0.0"));
    CHECK(contains("10.9.9.9/8", "10.1.1.1"));
    CHECK(contains("10.0.0.1/31", "10.0.0.0"));
    CHECK_FALSE(contains("10.0.0.1", "10.0.0.2"));
    CHECK(contains("2001:db8::/33", "2001:db8:7fff::1"));
    CHECK_FALSE(contains("2001:db8::/33", "2001:db8:8000::1"));
    CHECK(contains("::1", "0:0::1"));
    CHECK(contains("::/0", "2001:db8::1"));

    CHECK_FALSE(contains("::/0", "10.0.0.1"));
    CHECK_FALSE(contains("0.0.0.0/0", "::1"));
    CHECK(contains("::ffff:10.0.0.1", "10.0.0.1"));
    CHECK(contains("::ffff:10.0.0.0/104", "10.1.1.1"));
    CHECK(contains("10.0.0.0/8", "::ffff:10.1.1.1"));

    CHECK(contains("fe80::/10", "fe80::1%eth0"));
    CHECK(contains("fe80::1%eth0", "fe80::1%eth0"));
    CHECK_FALSE(contains("fe80::1%eth0", "fe80::1%eth1"));
    CHECK_FALSE(contains("0.0.0.0/0", ""));
    CHECK_FALSE(contains("0.0.0.0/0", "localhost"));
}

TEST_CASE("filter: bad networks are refused in words", "[filter]") {
    CHECK(network_error("10.0.0/8") ==
          "'10.0.0/8' is not an IPv4 or IPv6 address or network, such as 10.0.0.0/8 or ::1");
    CHECK(network_error("10.0.0.0/33") == "'10.0.0.0/33': the prefix length must be a number from 0 to 32");
    CHECK(network_error("::/129") == "'::/129': the prefix length must be a number from 0 to 128");
    for (const char* text : {"", "/8", "localhost", "10.0.0.1%eth0", "1.2.3.4.5", "::1::"})
        network_error(text);
    for (const char* text : {"10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8 ", "10.0.0.0/8/8"})
        network_error(text);

    const auto filter = Filter::make({.addresses = {"10.0.0.0/8", "x"}});
    REQUIRE_FALSE(filter.has_value());
    CHECK(filter.error().code == ExitCode::usage);
    CHECK(filter.error().message ==
          "--address: 'x' is not an IPv4 or IPv6 address or network, such as 10.0.0.0/8 or ::1");
}

TEST_CASE("filter: the command line", "[filter]") {
    const auto parsed =
        parse({"--pid", "12", "--pid", "013", "--process", "a b", "--port", "443", "--address", "::1",
               "--address", "10.0.0.0/8", "--role", "server", "--failed", "--netns", "4026531840", "topic"});
    CHECK(parsed.error.empty());
    CHECK(parsed.options.pids == std::vector<uint32_t>{12, 13});
    CHECK(parsed.options.processes == std::vector<std::string>{"a b"});
    CHECK(parsed.options.ports == std::vector<uint16_t>{443});
    CHECK(parsed.options.addresses == std::vector<std::string>{"::1", "10.0.0.0/8"});
    CHECK(parsed.options.role == RoleFilter::server);
    CHECK(parsed.options.failed);
    CHECK(parsed.options.netns == 4026531840);
    CHECK(parsed.rest == std::vector<std::string>{"topic"});
}

TEST_CASE("filter: the command line takes one value per option", "[filter]") {
    const auto parsed = parse({"--pid", "12", "13"});
    CHECK(parsed.options.pids == std::vector<uint32_t>{12});
    CHECK(parsed.rest == std::vector<std::string>{"13"});
}

TEST_CASE("filter: a bad command line is refused in words", "[filter]") {
    CHECK(parse({"--pid", "x"}).error == "--pid: 'x' is not a process id: give a number from 1 to 4194304");
    CHECK(parse({"--pid", "-1"}).error == "--pid: '-1' is not a process id: give a number from 1 to 4194304");
    CHECK(parse({"--port", "0"}).error == "--port: '0' is not a port: give a number from 1 to 65535");
    CHECK(parse({"--port", "0x50"}).error == "--port: '0x50' is not a port: give a number from 1 to 65535");
    CHECK(parse({"--port", "65536"}).error == "--port: '65536' is not a port: give a number from 1 to 65535");
    CHECK(parse({"--address", "10.0.0.0/33"}).error ==
          "--address: '10.0.0.0/33': the prefix length must be a number from 0 to 32");
    CHECK(parse({"--role", "peer"}).error == "--role: 'peer' is neither client nor server");
    CHECK(
        parse({"--netns", "4294967296"}).error ==
        "--netns: '4294967296' is not the inode of a network namespace: give a number from 1 to 4294967295");
}

TEST_CASE("filter: listeners", "[filter]") {
    v1::Listener listener;
    listener.set_local_address("127.0.0.1");
    listener.set_local_port(8080);
    listener.set_netns(7);
    listener.set_pid(77);
    listener.set_name("nginx");
    const auto passes = [&](const FilterOptions& options) {
        return Filter::make(options)->matches(listener);
    };
    CHECK(passes({}));
    CHECK(passes({.processes = {"ngin*"}, .ports = {8080}}));
    CHECK_FALSE(passes({.ports = {8081}}));
    CHECK_FALSE(passes({.pids = {78}}));
    CHECK(passes({.addresses = {"127.0.0.0/8"}, .netns = 7}));
    CHECK_FALSE(passes({.netns = 8}));
    CHECK_FALSE(passes({.role = RoleFilter::client}));
}
