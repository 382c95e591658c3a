// SPDX-License-Identifier: Apache-2.0
//
// The third stage: whose connection it is.
#pragma once

#include <string>
#include <string_view>

#include "agent/connections/connection.h"
#include "agent/context/cgroups.h"
#include "agent/context/kubelet_logs.h"
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
    std::string_view pod_uid = {};
    std::string_view pod_namespace = {};
    std::string_view pod = {};
    std::string_view pod_container = {};  // the container's name in the pod
};

// Used by the capture thread alone.
class Context {
public:
    explicit Context(const Options& options)
        : cgroups_(options.cgroup, options.proc),
          processes_(options.proc, options.process_cache_entries),
          kubelet_logs_(options.kubelet_logs) {}

    Identity find(const connections::Owner& owner);

private:
    Cgroups cgroups_;
    Processes processes_;
    KubeletLogs kubelet_logs_;
};

}  // namespace tcptrail::context
