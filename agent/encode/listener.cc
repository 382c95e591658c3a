// SPDX-License-Identifier: Apache-2.0
#include "agent/encode/listener.h"

#include "agent/encode/event.h"
#include "agent/encode/printable.h"

namespace tcptrail::encode {

v1::Listener listener_message(const connections::Listener& listener, const context::Identity& identity) {
    v1::Listener message;
    message.set_local_address(address_text(listener.local, listener.ipv6, listener.ifindex));
    message.set_local_port(listener.local.port);
    message.set_netns(listener.netns);
    message.set_pid(listener.owner.pid);
    message.set_name(repaired_utf8(listener.owner.name));
    message.set_executable(repaired_utf8(identity.executable));
    if (identity.uid) message.set_uid(*identity.uid);
    message.set_cgroup_path(repaired_utf8(identity.cgroup_path));
    message.set_container_id(std::string(identity.container_id));
    if (listener.opened_unix_nanos) message.set_opened_unix_nanos(*listener.opened_unix_nanos);
    message.set_accept_queue(listener.accept_queue);
    message.set_accept_queue_limit(listener.accept_queue_limit);
    message.set_syn_queue(listener.syn_queue);
    message.set_drops(listener.drops);
    return message;
}

}  // namespace tcptrail::encode
