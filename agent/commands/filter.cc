// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/filter.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fnmatch.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstring>

#include "schemas/v1/agent.pb.h"
#include "schemas/v1/connection.pb.h"

namespace tcptrail::commands {
namespace {

// Digits only, where strtoul and CLI11 also take signs, spaces, 0x50 and octal 010.
std::optional<uint32_t> decimal(std::string_view text, uint32_t min, uint32_t max) {
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < min || value > max) return {};
    return value;
}

// Also rewrites 010 as 10, before CLI11 takes it for octal.
CLI::Validator number(std::string what, uint32_t max) {
    return CLI::Validator(
        [what = std::move(what), max](std::string& text) -> std::string {
            const auto value = decimal(text, 1, max);
            if (!value) return fmt::format("'{}' is not {}: give a number from 1 to {}", text, what, max);
            text = std::to_string(*value);
            return {};
        },
        "");
}

// What is wrong with the value of an option; empty: nothing.
std::string network_problem(const std::string& text) {
    const auto network = Network::parse(text);
    return network ? std::string() : network.error().message;
}

std::string container_problem(const std::string& text) {
    const bool is_plain = std::ranges::all_of(text, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               std::string_view("-_.*?[]!").contains(c);
    });
    if (is_plain && !text.empty()) return {};
    return fmt::format("'{}' is neither the beginning of a container's id, such as 8d6a0f3b, nor a name",
                       text);
}

bool is_name(const std::string& pattern, const std::string& name) {
    return name == pattern || fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

// "api", "Deployment/api".
bool is_workload(const std::string& pattern, const v1::Kubernetes& kubernetes) {
    if (!pattern.contains('/')) return is_name(pattern, kubernetes.workload());
    return is_name(pattern, kubernetes.workload_kind() + "/" + kubernetes.workload());
}

// As systemctl takes it: without a type it is a service. A slice stands for what is in it.
bool is_unit(const std::string& pattern, const v1::Process& process) {
    if (pattern.ends_with(".slice")) return is_name(pattern, process.systemd_slice());
    const std::string& unit = process.systemd_unit();
    return is_name(pattern, unit) || (!pattern.contains('.') && is_name(pattern + ".service", unit));
}

std::string role_problem(const std::string& text) {
    if (text == "client" || text == "server") return {};
    return fmt::format("'{}' is neither client nor server", text);
}

struct Address {
    std::array<uint8_t, 16> bytes;  // IPv4 as mapped IPv6
    std::string_view zone;
};

constexpr std::array<uint8_t, 12> mapped_prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr unsigned mapped_bits = 96;

bool is_mapped(const std::array<uint8_t, 16>& bytes) {
    return std::equal(mapped_prefix.begin(), mapped_prefix.end(), bytes.begin());
}

std::optional<Address> parse_address(std::string_view text) {
    const size_t percent = text.find('%');
    const std::string address(text.substr(0, percent));
    Address parsed = {};
    if (percent != std::string_view::npos) parsed.zone = text.substr(percent + 1);

    if (inet_pton(AF_INET6, address.c_str(), parsed.bytes.data()) == 1) return parsed;
    // Only IPv6 has zones.
    if (percent != std::string_view::npos) return {};
    if (inet_pton(AF_INET, address.c_str(), &parsed.bytes[mapped_prefix.size()]) != 1) return {};
    std::ranges::copy(mapped_prefix, parsed.bytes.begin());
    return parsed;
}

bool same_bits(const std::array<uint8_t, 16>& a, const std::array<uint8_t, 16>& b, unsigned bits) {
    const unsigned whole = bits / 8;
    if (std::memcmp(a.data(), b.data(), whole) != 0) return false;
    return bits % 8 == 0 || ((a[whole] ^ b[whole]) >> (8 - bits % 8)) == 0;
}

// An empty list asks for nothing.
template <class T, class Test>
bool any_or_none_given(const std::vector<T>& list, Test test) {
    return list.empty() || std::ranges::any_of(list, test);
}

}  // namespace

Result<Network> Network::parse(const std::string& text) {
    const size_t slash = text.find('/');
    const auto address = parse_address(std::string_view(text).substr(0, slash));
    if (!address) {
        return fail(
            fmt::format("'{}' is not an IPv4 or IPv6 address or network, such as 10.0.0.0/8 or ::1", text),
            ExitCode::usage);
    }
    // What counts for the width of the prefix is how the address is written.
    const unsigned width = text.find(':') == std::string::npos ? 32 : 128;
    unsigned bits = width;
    if (slash != std::string::npos) {
        const auto given = decimal(std::string_view(text).substr(slash + 1), 0, width);
        if (!given) {
            return fail(fmt::format("'{}': the prefix length must be a number from 0 to {}", text, width),
                        ExitCode::usage);
        }
        bits = *given;
    }

    Network network;
    network.prefix_ = address->bytes;
    network.bits_ = width == 32 ? mapped_bits + bits : bits;
    network.ipv4_ = is_mapped(address->bytes) && network.bits_ >= mapped_bits;
    network.zone_ = address->zone;
    return network;
}

bool Network::contains(std::string_view address) const {
    const auto parsed = parse_address(address);
    // ::/0 is every IPv6 address, and not IPv4 as well.
    return parsed && is_mapped(parsed->bytes) == ipv4_ && same_bits(parsed->bytes, prefix_, bits_) &&
           (zone_.empty() || zone_ == parsed->zone);
}

Result<Filter> Filter::make(const FilterOptions& options) {
    Filter filter;
    filter.options_ = options;
    for (const auto& text : options.addresses) {
        auto network = Network::parse(text);
        if (!network) return std::unexpected(std::move(network.error()).within("--address"));
        filter.networks_.push_back(std::move(*network));
    }
    return filter;
}

bool Filter::matches(const v1::ConnectionEvent& event) const {
    // The cheap tests first.
    if (options_.role == RoleFilter::client && event.role() != v1::ROLE_CLIENT) return false;
    if (options_.role == RoleFilter::server && event.role() != v1::ROLE_SERVER) return false;
    if (options_.failed &&
        (event.outcome() == v1::OUTCOME_UNSPECIFIED || event.outcome() == v1::OUTCOME_ESTABLISHED)) {
        return false;
    }
    if (options_.netns && event.netns() != *options_.netns) return false;

    return any_or_none_given(options_.pids, [&](uint32_t pid) { return event.process().pid() == pid; }) &&
           any_or_none_given(
               options_.ports,
               [&](uint16_t port) { return event.local_port() == port || event.remote_port() == port; }) &&
           any_or_none_given(
               options_.processes,
               [&](const std::string& pattern) { return is_name(pattern, event.process().name()); }) &&
           any_or_none_given(options_.units,
                             [&](const std::string& pattern) { return is_unit(pattern, event.process()); }) &&
           any_or_none_given(options_.namespaces,
                             [&](const std::string& pattern) {
                                 return is_name(pattern, event.kubernetes().namespace_());
                             }) &&
           any_or_none_given(
               options_.pods,
               [&](const std::string& pattern) { return is_name(pattern, event.kubernetes().pod()); }) &&
           any_or_none_given(options_.containers,
                             [&](const std::string& beginning) {
                                 return event.process().container_id().starts_with(beginning) ||
                                        is_name(beginning, event.kubernetes().container()) ||
                                        is_name(beginning, event.process().container_name());
                             }) &&
           any_or_none_given(
               options_.workloads,
               [&](const std::string& pattern) { return is_workload(pattern, event.kubernetes()); }) &&
           any_or_none_given(networks_, [&](const Network& network) {
               return network.contains(event.local_address()) || network.contains(event.remote_address());
           });
}

// Whatever is asked of a listener is asked of the server's end of its connections.
bool Filter::matches(const v1::Listener& listener) const {
    v1::ConnectionEvent event;
    event.set_role(v1::ROLE_SERVER);
    event.set_netns(listener.netns());
    event.set_local_address(listener.local_address());
    event.set_local_port(listener.local_port());
    event.mutable_process()->set_pid(listener.pid());
    event.mutable_process()->set_name(listener.name());
    event.mutable_process()->set_systemd_unit(listener.systemd_unit());
    event.mutable_process()->set_systemd_slice(listener.systemd_slice());
    event.mutable_process()->set_container_id(listener.container_id());
    event.mutable_process()->set_container_name(listener.container_name());
    event.mutable_kubernetes()->set_namespace_(listener.pod_namespace());
    event.mutable_kubernetes()->set_pod(listener.pod());
    event.mutable_kubernetes()->set_container(listener.pod_container());
    event.mutable_kubernetes()->set_workload_kind(listener.workload_kind());
    event.mutable_kubernetes()->set_workload(listener.workload());
    return matches(event);
}

void add_filter_options(CLI::App& app, FilterOptions& options) {
    constexpr uint32_t max_pid = 1u << 22;  // the kernel's PID_MAX_LIMIT

    auto* pid = app.add_option("--pid", options.pids, "Connections of this process; repeat it for more");
    pid->transform(number("a process id", max_pid))->type_name("N");

    auto* process =
        app.add_option("--process", options.processes,
                       "Connections of processes of this name, a glob perhaps; repeat it for more");
    process->type_name("NAME");

    auto* unit =
        app.add_option("--unit", options.units,
                       "Connections of processes of this systemd unit, a glob perhaps, a service where it "
                       "has no type, or in this slice; repeat it for more");
    unit->type_name("NAME");

    auto* container =
        app.add_option("--container", options.containers,
                       "Connections of the container whose id begins so, or of this name, a glob "
                       "perhaps; repeat it for more");
    container->check(container_problem)->type_name("ID|NAME");

    auto* name_space =
        app.add_option("--namespace", options.namespaces,
                       "Connections of pods in this namespace of Kubernetes, a glob perhaps; repeat it "
                       "for more");
    name_space->type_name("NAME");

    auto* pod = app.add_option("--pod", options.pods,
                               "Connections of pods of this name, a glob perhaps; repeat it for more");
    pod->type_name("NAME");

    auto* workload = app.add_option(
        "--workload", options.workloads,
        "Connections of pods that this Deployment, StatefulSet, CronJob and so on runs: its name, or "
        "kind/name, a glob perhaps; repeat it for more");
    workload->type_name("[KIND/]NAME");

    auto* port = app.add_option("--port", options.ports,
                                "Connections with this port at either end; repeat it for more");
    port->transform(number("a port", 65535))->type_name("N");

    auto* address = app.add_option("--address", options.addresses,
                                   "Connections with an end in this network; repeat it for more");
    address->check(network_problem)->type_name("CIDR");

    // One value each time, so that the command's own arguments may follow.
    for (auto* option : {pid, process, unit, container, name_space, pod, workload, port, address})
        option->allow_extra_args(false);

    auto set_role = [&options](const std::string& role) {
        options.role = role == "client" ? RoleFilter::client : RoleFilter::server;
    };
    auto* role = app.add_option_function<std::string>(
        "--role", set_role, "Connections seen from the end that called connect, or that accepted");
    role->check(role_problem)->type_name("client|server");

    auto* failed =
        app.add_flag("--failed", options.failed,
                     "Attempts that were not established: refused, timed out, abandoned and so on; not "
                     "connections that broke later");

    auto* netns =
        app.add_option("--netns", options.netns, "Connections in the network namespace of this inode");
    netns->transform(number("the inode of a network namespace", UINT32_MAX))->type_name("INODE");

    for (auto* option :
         {pid, process, unit, container, name_space, pod, workload, port, address, role, failed, netns}) {
        option->group("Filters (an event must pass all that are given)");
    }
}

}  // namespace tcptrail::commands
