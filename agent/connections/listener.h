// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "agent/connections/connection.h"
#include "bpf/abi/listener.h"

namespace tcptrail::connections {

// A listening socket as it is now. Views point into the record that it was made from.
struct Listener {
    Endpoint local;
    bool ipv6 = false;
    uint32_t ifindex = 0;
    uint32_t netns = 0;
    Owner owner;  // who called listen()
    std::optional<uint64_t> opened_unix_nanos;
    uint32_t accept_queue = 0, accept_queue_limit = 0, syn_queue = 0;
    uint32_t drops = 0;  // since it listens
};

// `boot_to_unix` is what to add to CLOCK_BOOTTIME for wall clock, as of now.
Listener listener_of(const tcptrail_listener_record& record, uint64_t boot_to_unix);

}  // namespace tcptrail::connections
