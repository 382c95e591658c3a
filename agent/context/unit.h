// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace tcptrail::context {

// The unit of the host's systemd in a cgroup path, as `systemctl status` takes it: "nginx.service",
// "user@1000.service" for all of a user's own units. Empty: not a cgroup of systemd's (its own root and
// slices have no processes of a unit), or one that a container's runtime made for it: the container's id
// tells more. systemd's escapes are taken away. Points into `cgroup_path`. Source: systemd,
// cg_path_get_unit() in src/basic/cgroup-util.c: the first component that is no slice.
std::string_view systemd_unit_of(std::string_view cgroup_path);

// The slice that the unit or the container is in, the innermost one: "system.slice", "user-1000.slice".
// Empty: the root slice, or no cgroup of systemd's. Points into `cgroup_path`. Source: cg_path_get_slice(),
// the same file.
std::string_view systemd_slice_of(std::string_view cgroup_path);

}  // namespace tcptrail::context
