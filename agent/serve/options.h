// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tcptrail::serve {

// What the metrics of connections can be told apart by, besides the role. The configuration has these
// names.
enum class Label : uint8_t {
    process,         // name, as the kernel has it
    container_id,    // empty: none
    cgroup,          // path in cgroup2: a service, a pod
    server_address,  // a client's remote end, a server's own
    server_port,     // the same
    remote_scope,    // loopback, link_local, private, public
    netns,           // inode of the network namespace
    systemd_unit,    // empty: none
    container_name,  // of Docker or podman; empty: none
    k8s_namespace,   // of the pod; these are OpenTelemetry's names, k8s.namespace.name
    k8s_pod,
    k8s_container,  // its name in the pod
    k8s_workload,   // Deployment, StatefulSet, …; OpenTelemetry has a name for each kind, and none for all
    k8s_workload_kind,
};
inline constexpr const char* label_names[] = {
    "process",           "container_id",       "cgroup",       "server_address",
    "server_port",       "remote_scope",       "netns",        "systemd_unit",
    "container_name",    "k8s_namespace_name", "k8s_pod_name", "k8s_container_name",
    "k8s_workload_name", "k8s_workload_kind"};

enum class Histogram : uint8_t {
    connect,
    rtt,
    lifetime,
    idle,
    accept_wait,    // of servers
    idle_at_reset,  // of those of `idle` that the peer's reset ended
};
inline constexpr const char* histogram_names[] = {"connect", "rtt",         "lifetime",
                                                  "idle",    "accept_wait", "idle_at_reset"};

struct MetricsOptions {
    std::string listen = "127.0.0.1:9466";  // or a path; empty: none
    std::string token_file;                 // empty: none
    std::vector<Label> labels = {Label::process, Label::server_address, Label::server_port};
    std::vector<Histogram> histograms = {Histogram::connect, Histogram::rtt, Histogram::lifetime,
                                         Histogram::idle};
    uint32_t max_series = 10000;  // of the metrics of connections
};

struct Options {
    std::string socket = "/run/tcptrail/tcptrail.sock";  // for tcptrail status; empty: none
    MetricsOptions metrics;
};

}  // namespace tcptrail::serve
