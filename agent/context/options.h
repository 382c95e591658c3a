// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace tcptrail::context {

struct Options {
    std::string proc = "/proc";  // the host's procfs
    std::string cgroup;          // the host's cgroup2 mount; empty: looked up in <proc>/self/mounts
    std::string kubelet_logs = "/var/log";  // has the kubelet's `pods` and `containers`; empty: not asked
    uint32_t process_cache_entries = 4096;  // processes remembered
};

}  // namespace tcptrail::context
