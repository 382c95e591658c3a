// SPDX-License-Identifier: Apache-2.0
//
// The third stage: whose connection it is.
#pragma once

#include <string>
#include <string_view>

#include "agent/connections/connection.h"
#include "agent/context/cgroups.h"
#include "agent/context/container_names.h"
#include "agent/context/kubernetes.h"
#include "agent/context/options.h"
#include "agent/context/processes.h"

namespace tcptrail::context {

// What is known of the owner besides what the kernel side took. Views are valid until the next call of
// Context::find().
struct Identity {
    std::string_view executable;
    std::string_view cgroup_path;
    std::string_view container_id;
    std::optional<uint32_t> uid;
    std::string_view systemd_unit = {};
    std::string_view container_name = {};  // of a container outside of Kubernetes
    PodIdentity pod = {};
    RemoteIdentity remote = {};
    uint32_t unknown = 0;  // bits of connections::PartialBit
    std::string_view systemd_slice = {};
    std::string_view container_runtime = {};
};

// Used by the capture thread alone.
class Context {
public:
    explicit Context(const Options& options)
        : cgroups_(options.cgroup, options.proc),
          processes_(options.proc, options.process_cache_entries),
          container_names_(options.docker, options.podman),
          kubernetes_(options.kubelet_logs, std::chrono::milliseconds(options.wait_ms)),
          wait_ns_(uint64_t{options.wait_ms} * 1'000'000) {}

    // Names of the cluster's API server, too, where the options say so. `node`: this node's name there.
    Result<> ask_cluster(const cluster::Options& options, const std::string& node);
    // For who asks once: waits until the API server has told what it knows, or does not answer; up to so
    // long.
    void wait_for_cluster(std::chrono::milliseconds longest);
    // Takes what has become known since.
    void refresh() { kubernetes_.refresh(); }
    // For who goes on for longer: cgroups are known from their birth on. Then, when births_fd() is readable
    // (-1: it never is), look_for_births() is to be called soon: what lives for a moment only is known to
    // nobody else.
    void watch_births() { cgroups_.watch_births(); }
    int births_fd() const { return cgroups_.births_fd(); }
    void look_for_births() { cgroups_.look_for_births(); }

    // Of one end of a connection. Fields of the connection that no owner is known by are not looked at.
    Identity find(const connections::Connection& connection);
    Identity find(const connections::Owner& owner);
    // Whether names that the last find() lacks may still come, for an event that was `age_ns` old.
    bool may_come(uint64_t age_ns) const { return kubernetes_.may_come() && age_ns < wait_ns_; }
    // nullptr: the API server is not asked.
    const cluster::Cluster* cluster() const { return kubernetes_.cluster(); }

private:
    Cgroups cgroups_;
    Processes processes_;
    ContainerNames container_names_;
    Kubernetes kubernetes_;
    uint64_t wait_ns_;
};

}  // namespace tcptrail::context
