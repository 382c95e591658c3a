// SPDX-License-Identifier: Apache-2.0
#include "agent/context/context.h"

#include "agent/context/container.h"
#include "agent/context/pod.h"
#include "agent/context/unit.h"

namespace tcptrail::context {

Identity Context::find(const connections::Owner& owner) {
    static const Process nobody;
    Identity identity;
    identity.uid = owner.uid;
    // The socket's own cgroup is right in any context, also when the process is gone.
    if (const std::string* path = cgroups_.path_of(owner.cgroup_id)) identity.cgroup_path = *path;
    const Process& process = owner.pid ? processes_.find(owner.pid, owner.start_ns, owner.name) : nobody;
    identity.executable = process.executable;
    if (!identity.uid && process.uid != ~0u) identity.uid = process.uid;
    // It says nothing where containers live in cgroup v1: there the process is asked.
    if ((identity.cgroup_path.empty() || identity.cgroup_path == "/") && !process.cgroup_path.empty())
        identity.cgroup_path = process.cgroup_path;
    identity.container_id = container_id_of(identity.cgroup_path);
    identity.systemd_unit = systemd_unit_of(identity.cgroup_path);
    identity.pod_uid = pod_uid_of(identity.cgroup_path, pod_uid_);
    if (!identity.pod_uid.empty()) {
        if (const PodName* name = kubelet_logs_.pod(identity.pod_uid)) {
            identity.pod = name->pod;
            identity.pod_namespace = name->name_space;
        }
        identity.pod_container = kubelet_logs_.container(identity.container_id);
    }
    return identity;
}

}  // namespace tcptrail::context
