// SPDX-License-Identifier: Apache-2.0
#include "agent/connections/addresses.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace tcptrail::connections {

namespace {

constexpr uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_mapped(const uint8_t* address) {
    return std::memcmp(address, mapped_prefix, sizeof mapped_prefix) == 0;
}

bool is_unset(const uint8_t* address) {
    return std::all_of(address, address + 16, [](uint8_t byte) { return byte == 0; });
}

}  // namespace

tcptrail_addresses addresses_of(const tcptrail_birth& birth) {
    tcptrail_addresses addresses{};
    std::ranges::copy(birth.remote_rest, std::ranges::copy(birth.remote, addresses.remote).out);
    std::ranges::copy(birth.local_rest, std::ranges::copy(birth.local, addresses.local).out);
    addresses.local_port = birth.local_port;
    addresses.remote_port = birth.remote_port;
    addresses.family = birth.family;
    addresses.netns = birth.netns;
    addresses.ifindex = birth.ifindex;
    return addresses;
}

void set_addresses(Connection& connection, const tcptrail_addresses& addresses) {
    connection.netns = addresses.netns;
    connection.ifindex = addresses.ifindex;
    connection.has_addresses = addresses.family != 0;
    connection.local.port = addresses.local_port;
    connection.remote.port = addresses.remote_port;
    std::copy(std::begin(addresses.local), std::end(addresses.local), connection.local.address.begin());
    std::copy(std::begin(addresses.remote), std::end(addresses.remote), connection.remote.address.begin());
    connection.ipv6 = addresses.family == AF_INET6;
    // An attempt that failed before it had a local address leaves that one unset: the remote decides.
    if (connection.ipv6 && is_mapped(addresses.remote) &&
        (is_mapped(addresses.local) || is_unset(addresses.local))) {
        connection.ipv6 = false;
        for (Endpoint* end : {&connection.local, &connection.remote}) {
            std::copy_n(end->address.begin() + 12, 4, end->address.begin());
            std::fill(end->address.begin() + 4, end->address.end(), uint8_t{0});
        }
    }
    if (connection.has_addresses) connection.remote_scope = scope_of(connection.remote, connection.ipv6);
}

Scope scope_of(const Endpoint& endpoint, bool ipv6) {
    const auto& a = endpoint.address;
    if (!ipv6) {
        if (a[0] == 127) return Scope::loopback;
        if (a[0] == 169 && a[1] == 254) return Scope::link_local;
        if (a[0] == 10 || (a[0] == 172 && (a[1] & 0xf0) == 16) || (a[0] == 192 && a[1] == 168) ||
            (a[0] == 100 && (a[1] & 0xc0) == 64))
            return Scope::private_network;
        return Scope::public_network;
    }
    if (std::all_of(a.begin(), a.begin() + 15, [](uint8_t byte) { return byte == 0; }) && a[15] == 1)
        return Scope::loopback;
    if (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) return Scope::link_local;
    if ((a[0] & 0xfe) == 0xfc) return Scope::private_network;
    return Scope::public_network;
}

}  // namespace tcptrail::connections
