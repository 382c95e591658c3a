// SPDX-License-Identifier: Apache-2.0
#include "agent/connections/listener.h"

#include "agent/connections/addresses.h"
#include "agent/connections/connections.h"

namespace tcptrail::connections {

Listener listener_of(const tcptrail_listener_record& record, uint64_t boot_to_unix) {
    Connection end;  // for its addresses
    set_addresses(end, record.addresses);
    Listener listener;
    listener.local = end.local;
    listener.ipv6 = end.ipv6;
    listener.ifindex = record.addresses.ifindex;
    listener.netns = record.addresses.netns;
    listener.owner =
        owner_of(record.listener.owner, record.listener.thread_name, record.listener.owner_source);
    if (record.listener.opened_ns) listener.opened_unix_nanos = record.listener.opened_ns + boot_to_unix;
    listener.accept_queue = record.accept_queue;
    listener.accept_queue_limit = record.accept_queue_limit;
    listener.syn_queue = record.syn_queue;
    listener.drops = record.drops;
    return listener;
}

}  // namespace tcptrail::connections
