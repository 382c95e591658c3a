// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace tcptrail::context {

// The uid of the pod in a cgroup path that a kubelet made, as the API server has it ("8c1a2b3c-1111-…"; of a
// static pod 32 hex digits), or empty. Both of its drivers, cgroupfs and systemd, below any --cgroup-root; of
// several, as where a node is itself a pod, the innermost. Source: Kubernetes, GetPodContainerName() and
// cgroup_manager_linux.go in pkg/kubelet/cm.
std::string pod_uid_of(std::string_view cgroup_path);

}  // namespace tcptrail::context
