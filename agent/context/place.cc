// SPDX-License-Identifier: Apache-2.0
#include "agent/context/place.h"

#include <utility>

#include "agent/context/container.h"
#include "agent/context/pod.h"
#include "agent/context/unit.h"

namespace tcptrail::context {

Place::Place(std::string path)
    : cgroup_path(std::move(path)),
      container_id(container_id_of(cgroup_path)),
      container_runtime(container_runtime_of(cgroup_path)),
      systemd_unit(systemd_unit_of(cgroup_path)),
      pod_uid(pod_uid_of(cgroup_path)) {
    // Of a pod it says nothing but its number once more.
    if (pod_uid.empty()) systemd_slice = systemd_slice_of(cgroup_path);
}

}  // namespace tcptrail::context
