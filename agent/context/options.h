// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace tcptrail::context {

struct Options {
    std::string proc = "/proc";  // the host's procfs
    std::string cgroup;          // the host's cgroup2 mount; empty: looked up in <proc>/self/mounts
    uint32_t process_cache_entries = 4096;  // processes remembered
};

}  // namespace tcptrail::context
