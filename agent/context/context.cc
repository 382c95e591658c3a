// SPDX-License-Identifier: Apache-2.0
#include "agent/context/context.h"

namespace tcptrail::context {

Identity Context::find(const connections::Owner& owner) {
    static const Process nobody;
    Identity identity;
    identity.uid = owner.uid;
    const Process& process = owner.pid ? processes_.find(owner.pid, owner.start_ns, owner.name) : nobody;
    identity.executable = process.executable;
    if (!identity.uid && process.uid != ~0u) identity.uid = process.uid;
    // The socket's own cgroup is right in any context, also when the process is gone. It says nothing where
    // containers live in cgroup v1: there the process is asked.
    const Place* place = cgroups_.place_of(owner.cgroup_id);
    if (!place || (place->cgroup_path == "/" && !process.place.cgroup_path.empty())) place = &process.place;
    identity.cgroup_path = place->cgroup_path;
    identity.container_id = place->container_id;
    identity.systemd_unit = place->systemd_unit;
    identity.pod_uid = place->pod_uid;
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
