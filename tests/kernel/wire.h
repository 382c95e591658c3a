// SPDX-License-Identifier: Apache-2.0
//
// Two namespaces joined by a wire whose every packet the test decides on. A process relays IP packets
// between two TUN devices; no netfilter, no queueing discipline, hence no module is needed.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "tests/kernel/netns.h"
#include "tests/kernel/sockets.h"

namespace tcptrail::test {

// What the relay does with packets. Shared with its process; each field may be set at any time.
struct WireRules {
    std::atomic<bool> hold{false};            // keep packets, in order, until it is false again
    std::atomic<bool> drop_to_server{false};  // lose all
    std::atomic<bool> drop_to_client{false};
    std::atomic<uint32_t> drop_next_data{0};  // lose so many packets with payload for the server
    std::atomic<uint32_t> loss_permille{0};   // lose TCP packets of both directions at random
    // Answer each SYN for the server with an ICMP "destination unreachable" instead of passing it on:
    // its code + 1, of ICMP or ICMPv6 as the SYN's family is. 0: pass on.
    std::atomic<uint32_t> unreachable{0};

    std::atomic<uint64_t> tcp_to_server{0};  // TCP segments that reached the relay
    std::atomic<uint64_t> tcp_to_client{0};
    std::atomic<uint64_t> tcp_dropped{0};
};

// The client's side has 10.77.0.1/24 and fd77::1/64, the server's .2 and ::2. Members throw
// std::runtime_error when the system refuses.
class Wire {
public:
    Wire();
    ~Wire();
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;

    const Netns& client() const { return client_; }
    const Netns& server() const { return server_; }
    WireRules& rules() { return *rules_; }
    // Until the relay, which runs on its own time, has lost so many TCP segments. False after 10 s.
    bool await_dropped(uint64_t segments) const;

    static Endpoint client_end(int family, uint16_t port);
    static Endpoint server_end(int family, uint16_t port);

private:
    Netns client_;
    Netns server_;
    WireRules* rules_ = nullptr;  // in memory that the relay shares
    pid_t relay_ = -1;
};

}  // namespace tcptrail::test
