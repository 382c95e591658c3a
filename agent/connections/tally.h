// SPDX-License-Identifier: Apache-2.0
//
// Sums over connections: how many of each network namespace were told, and where clients connect to.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "agent/connections/connection.h"
#include "bpf/abi/walk.h"

namespace tcptrail::connections {

struct Destination {
    uint32_t netns = 0;
    bool ipv6 = false;
    Endpoint remote;

    bool operator==(const Destination& other) const {
        return netns == other.netns && ipv6 == other.ipv6 && remote.port == other.remote.port &&
               remote.address == other.remote.address;
    }
};

struct DestinationUse {
    Destination destination;
    uint64_t open = 0;
    uint64_t time_wait = 0;  // closed by this side first, in the last 60 s (TCP_TIMEWAIT_LEN)
};

// Used by the capture thread alone. Memory is bounded: destinations beyond the first 16,384 are left out.
class Tally {
public:
    // An event that is told. `now_ns` is any clock that does not go back.
    void add(const Connection& connection, uint64_t now_ns);

    // The connections that are open now, in place of those of the call before.
    void clear_open();
    void add_open(const tcptrail_open& open);

    // Lifecycles of a namespace that began during the capture and sent or answered a SYN: which is what the
    // kernel counts as ActiveOpens and PassiveOpens.
    uint64_t lifecycles(uint32_t netns) const;
    // Ends of connections that were open at the last add_open(), whenever they began, and attempts.
    uint64_t open(uint32_t netns) const;
    // Forgets the other namespaces: they are gone, and the kernel gives their inodes to new ones.
    void keep_only(const std::unordered_set<uint32_t>& netns);

    std::vector<DestinationUse> destinations(uint64_t now_ns) const;

private:
    struct Hash {
        size_t operator()(const Destination& destination) const;
    };
    struct Namespace {
        uint64_t ended = 0;
        uint64_t open = 0;      // of those that began during the capture
        uint64_t all_open = 0;  // the older ones too
    };
    using Counts = std::unordered_map<Destination, uint64_t, Hash>;
    struct Slice {  // of time
        uint64_t number = 0;
        Counts counts;
    };

    static void count(Counts& counts, const Destination& destination);

    std::unordered_map<uint32_t, Namespace> namespaces_;  // by inode
    Counts open_;
    std::array<Slice, 12> closed_;
};

}  // namespace tcptrail::connections
