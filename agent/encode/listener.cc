// SPDX-License-Identifier: Apache-2.0
#include "agent/encode/listener.h"

#include <algorithm>

#include "agent/encode/event.h"
#include "agent/encode/printable.h"

namespace tcptrail::encode {

namespace {

void set_reasons(v1::Listener& message, const context::NamespaceCounts& counts) {
    if (!counts.listen_drops || !counts.listen_overflows) return;
    const uint64_t overflows = *counts.listen_overflows;
    const uint64_t others = *counts.listen_drops - std::min(*counts.listen_drops, overflows);
    const uint32_t drops = message.drops();
    if ((overflows && others && drops) || overflows + others < drops) return;
    message.set_accept_queue_overflows(overflows ? drops : 0);
    message.set_syn_drops(overflows ? 0 : drops);
}

}  // namespace

v1::Listener listener_message(const connections::Listener& listener, const context::Identity& identity,
                              const context::NamespaceCounts* counts) {
    v1::Listener message;
    message.set_local_address(address_text(listener.local, listener.ipv6, listener.ifindex));
    message.set_local_port(listener.local.port);
    message.set_netns(listener.netns);
    message.set_pid(listener.owner.pid);
    message.set_name(repaired_utf8(listener.owner.name));
    message.set_executable(repaired_utf8(identity.executable));
    if (identity.uid) message.set_uid(*identity.uid);
    message.set_cgroup_path(repaired_utf8(identity.cgroup_path));
    message.set_container_id(repaired_utf8(identity.container_id));
    message.set_container_name(repaired_utf8(identity.container_name));
    message.set_systemd_unit(repaired_utf8(identity.systemd_unit));
    message.set_systemd_slice(repaired_utf8(identity.systemd_slice));
    message.set_container_runtime(repaired_utf8(identity.container_runtime));
    const context::PodIdentity& pod = identity.pod;
    message.set_pod_namespace(repaired_utf8(pod.name_space));
    message.set_pod(repaired_utf8(pod.pod));
    message.set_pod_uid(repaired_utf8(pod.uid));
    message.set_pod_container(repaired_utf8(pod.container));
    message.set_workload_kind(repaired_utf8(pod.workload_kind));
    message.set_workload(repaired_utf8(pod.workload));
    if (listener.opened_unix_nanos) message.set_opened_unix_nanos(*listener.opened_unix_nanos);
    message.set_accept_queue(listener.accept_queue);
    message.set_accept_queue_limit(listener.accept_queue_limit);
    message.set_syn_queue(listener.syn_queue);
    message.set_drops(listener.drops);
    if (counts) set_reasons(message, *counts);
    return message;
}

}  // namespace tcptrail::encode
