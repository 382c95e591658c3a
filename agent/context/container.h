// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace tcptrail::context {

// The container id in a cgroup path, or empty: the innermost component that is one, whatever the runtime
// and the cgroup driver put around it (docker-<id>.scope, cri-containerd-<id>.scope, libpod-<id>, …).
// Points into `cgroup_path`.
std::string_view container_id_of(std::string_view cgroup_path);

// The runtime that says in the path that this container is its own: "docker", "podman", "containerd",
// "cri-o", as OpenTelemetry spells it (container.runtime.name). Empty: no container, or a path that tells no
// runtime, which Kubernetes' cgroupfs driver makes.
std::string_view container_runtime_of(std::string_view cgroup_path);

}  // namespace tcptrail::context
