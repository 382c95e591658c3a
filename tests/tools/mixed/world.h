// SPDX-License-Identifier: Apache-2.0
//
// The network namespaces of the mixed run, and the addresses in them.
//
//   home   the one that the generator was started in: loopback
//   apart  loopback again, with the same addresses and ports
//   west — east  clients and servers, joined by a veth pair
//   tight  has two ports for clients, both taken
//
// From each of them: 10.90.0.0/16 is silent, 10.92.0.0/16 has no listeners, 10.93.0.0/16 is an unreachable
// route, 10.94.0.0/16 has no route, 10.95.0.0/16 is a prohibited route; fd90::/64 and so on likewise.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/tools/mixed/fate.h"
#include "tests/tools/mixed/socket.h"
#include "tests/tools/opens.h"

namespace mix {

enum class Family : uint8_t { ipv4, ipv6, mapped /* IPv4 clients of a server's IPv6 socket */ };

struct Namespace {
    std::string name;
    int fd = -1;
    uint64_t inode = 0;
};

// Where clients are, and where their servers are.
enum class Place : uint8_t { home, apart, link, tight };
constexpr size_t places = 4;

class World {
public:
    // Makes all of it. Needs root, and `home` fresh: what is set there must not be the host's.
    World();
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    const std::vector<Namespace>& namespaces() const { return namespaces_; }
    const Namespace& of_clients(Place place) const { return namespaces_[static_cast<size_t>(place)]; }
    const Namespace& of_servers(Place place) const;
    // Moves the calling process.
    static void enter(const Namespace& to);
    static tests::Opens read_opens(const Namespace& of);

    // Where a server listens, and where its clients find it.
    static Address listening(Place place, Family family, uint16_t port);
    static Address server(Place place, Family family, uint16_t port);
    // Where an attempt fails in this way: no other attempt has the same address and port.
    static Address failing(Place place, Family family, const Attempt& attempt);

private:
    std::vector<Namespace> namespaces_;
    std::vector<Socket> holders_;  // of tight's ports
};

}  // namespace mix
