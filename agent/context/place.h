// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace tcptrail::context {

// Where a process lives: the path of its cgroup, and what that says, which is read once for each cgroup and
// not for each event. Empty: nothing, or not known.
struct Place {
    Place() = default;
    explicit Place(std::string path);

    std::string cgroup_path;
    std::string container_id;
    std::string container_runtime;
    std::string systemd_unit;
    std::string systemd_slice;
    std::string pod_uid;
};

}  // namespace tcptrail::context
