// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace tcptrail::context {

struct Options {
    std::string proc = "/proc";  // the host's procfs
    std::string cgroup;          // the host's cgroup2 mount; empty: looked up in <proc>/self/mounts
    std::string kubelet_logs = "/var/log";   // has the kubelet's `pods` and `containers`; empty: not asked
    std::string docker = "/var/lib/docker";  // Docker's own folder; empty: not looked into
    std::string podman = "/var/lib/containers/storage";  // podman's; the same
    uint32_t wait_ms = 500;                              // how long an event may wait for names in Kubernetes
    uint32_t process_cache_entries = 4096;               // processes remembered
};

}  // namespace tcptrail::context
