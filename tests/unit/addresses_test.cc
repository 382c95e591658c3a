// SPDX-License-Identifier: Apache-2.0
#include "agent/connections/addresses.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "agent/encode/event.h"
#include "tests/catch.h"

using namespace tcptrail::connections;
using tcptrail::encode::address_text;

namespace {

void set(__u8 (&to)[16], int family, const char* text) {
    REQUIRE(inet_pton(family, text, to) == 1);
}

tcptrail_addresses addresses(int family, const char* local, const char* remote) {
    tcptrail_addresses a{};
    a.family = static_cast<uint16_t>(family);
    set(a.local, family, local);
    set(a.remote, family, remote);
    a.local_port = 40000;
    a.remote_port = 443;
    a.netns = 4026531840;
    return a;
}

Scope scope(int family, const char* text) {
    Endpoint endpoint;
    REQUIRE(inet_pton(family, text, endpoint.address.data()) == 1);
    return scope_of(endpoint, family == AF_INET6);
}

std::string text(int family, const char* written, uint32_t ifindex = 0) {
    Endpoint endpoint;
    REQUIRE(inet_pton(family, written, endpoint.address.data()) == 1);
    return address_text(endpoint, family == AF_INET6, ifindex);
}

}  // namespace

TEST_CASE("addresses: both ends are taken over", "[unit]") {
    Connection c;
    auto a = addresses(AF_INET, "10.0.0.1", "192.0.2.7");
    a.ifindex = 3;
    set_addresses(c, a);
    CHECK(c.has_addresses);
    CHECK_FALSE(c.ipv6);
    CHECK(address_text(c.local, c.ipv6, c.ifindex) == "10.0.0.1");
    CHECK(address_text(c.remote, c.ipv6, c.ifindex) == "192.0.2.7");
    CHECK(c.local.port == 40000);
    CHECK(c.remote.port == 443);
    CHECK(c.netns == 4026531840);
    CHECK(c.ifindex == 3);
    CHECK(c.remote_scope == Scope::public_network);
}

TEST_CASE("addresses: IPv4-mapped IPv6 becomes IPv4", "[unit]") {
    Connection c;
    SECTION("both ends") {
        set_addresses(c, addresses(AF_INET6, "::ffff:10.0.0.1", "::ffff:127.0.0.1"));
        CHECK_FALSE(c.ipv6);
        CHECK(address_text(c.local, c.ipv6, 0) == "10.0.0.1");
        CHECK(address_text(c.remote, c.ipv6, 0) == "127.0.0.1");
        CHECK(c.remote_scope == Scope::loopback);
        // Nothing of the prefix stays behind.
        CHECK(std::all_of(c.local.address.begin() + 4, c.local.address.end(),
                          [](uint8_t b) { return b == 0; }));
        CHECK(std::all_of(c.remote.address.begin() + 4, c.remote.address.end(),
                          [](uint8_t b) { return b == 0; }));
    }
    SECTION("an attempt that failed before it had a local address") {
        set_addresses(c, addresses(AF_INET6, "::", "::ffff:192.168.1.1"));
        CHECK_FALSE(c.ipv6);
        CHECK(address_text(c.local, c.ipv6, 0) == "0.0.0.0");
        CHECK(address_text(c.remote, c.ipv6, 0) == "192.168.1.1");
        CHECK(c.remote_scope == Scope::private_network);
    }
    SECTION("what only looks similar stays IPv6") {
        for (const char* remote :
             {"::10.0.0.1", "::fffe:10.0.0.1", "1::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "::1"}) {
            INFO(remote);
            set_addresses(c, addresses(AF_INET6, "2001:db8::1", remote));
            CHECK(c.ipv6);
        }
    }
}

TEST_CASE("addresses: those that were not seen have no scope", "[unit]") {
    Connection c;
    set_addresses(c, tcptrail_addresses{});
    CHECK_FALSE(c.has_addresses);
    CHECK(c.remote_scope == Scope::unspecified);
}

TEST_CASE("addresses: scopes of IPv4, at their borders", "[unit]") {
    for (const char* inside : {"127.0.0.0", "127.0.0.1", "127.255.255.255"})
        CHECK(scope(AF_INET, inside) == Scope::loopback);
    for (const char* inside : {"169.254.0.0", "169.254.169.254", "169.254.255.255"})
        CHECK(scope(AF_INET, inside) == Scope::link_local);
    for (const char* inside : {"10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0",
                               "192.168.255.255", "100.64.0.0", "100.127.255.255"}) {
        INFO(inside);
        CHECK(scope(AF_INET, inside) == Scope::private_network);
    }
    for (const char* outside :
         {"126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "9.255.255.255", "11.0.0.0",
          "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "100.63.255.255", "100.128.0.0",
          "8.8.8.8"}) {
        INFO(outside);
        CHECK(scope(AF_INET, outside) == Scope::public_network);
    }
}

TEST_CASE("addresses: scopes of IPv6, at their borders", "[unit]") {
    CHECK(scope(AF_INET6, "::1") == Scope::loopback);
    for (const char* inside : {"fe80::", "fe80::1", "febf:ffff::1"})
        CHECK(scope(AF_INET6, inside) == Scope::link_local);
    for (const char* inside : {"fc00::", "fd12:3456::1", "fdff:ffff::"})
        CHECK(scope(AF_INET6, inside) == Scope::private_network);
    for (const char* outside : {"::2", "1::1", "fe7f::1", "fec0::1", "fbff::1", "fe00::1", "2001:db8::1"}) {
        INFO(outside);
        CHECK(scope(AF_INET6, outside) == Scope::public_network);
    }
}

TEST_CASE("addresses: their text is RFC 5952's", "[unit]") {
    CHECK(text(AF_INET, "192.0.2.1") == "192.0.2.1");
    CHECK(text(AF_INET, "0.0.0.0") == "0.0.0.0");
    CHECK(text(AF_INET6, "2001:DB8:0:0:0:0:0:1") == "2001:db8::1");
    CHECK(text(AF_INET6, "2001:db8:0:1:1:1:1:1") == "2001:db8:0:1:1:1:1:1");
    CHECK(text(AF_INET6, "2001:db8:0:0:1:0:0:1") == "2001:db8::1:0:0:1");
    CHECK(text(AF_INET6, "::") == "::");
    CHECK(text(AF_INET6, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff") ==
          "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

TEST_CASE("addresses: only a link-local one has a zone", "[unit]") {
    CHECK(text(AF_INET6, "fe80::1", 4) == "fe80::1%4");
    CHECK(text(AF_INET6, "febf::1", 4294967295) == "febf::1%4294967295");
    CHECK(text(AF_INET6, "fe80::1") == "fe80::1");  // the interface is not known
    CHECK(text(AF_INET6, "fec0::1", 4) == "fec0::1");
    CHECK(text(AF_INET6, "2001:db8::1", 4) == "2001:db8::1");
    CHECK(text(AF_INET, "169.254.0.1", 4) == "169.254.0.1");
}
