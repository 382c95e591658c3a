// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace tcptrail::context {

// The container id in a cgroup path, or empty: the innermost component that is one, whatever the runtime
// and the cgroup driver put around it (docker-<id>.scope, cri-containerd-<id>.scope, libpod-<id>, …).
// Points into `cgroup_path`.
std::string_view container_id_of(std::string_view cgroup_path);

}  // namespace tcptrail::context
