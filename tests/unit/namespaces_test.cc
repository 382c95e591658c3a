// SPDX-License-Identifier: Apache-2.0
#include "agent/context/namespaces.h"

#include <unistd.h>

#include "tests/catch.h"

using namespace tcptrail;

TEST_CASE("namespaces: counters by their names", "[unit]") {
    constexpr const char* snmp =
        "Ip: Forwarding DefaultTTL\n"
        "Ip: 1 64\n"
        "Tcp: RtoAlgorithm ActiveOpens PassiveOpens\n"
        "Tcp: 1 37 18446744073709551615\n"
        "TcpX: ActiveOpens\n"
        "TcpX: 99\n";
    CHECK(context::counter_of(snmp, "Tcp", "ActiveOpens") == 37);
    CHECK(context::counter_of(snmp, "Tcp", "PassiveOpens") == UINT64_MAX);
    CHECK(context::counter_of(snmp, "Ip", "DefaultTTL") == 64);
    CHECK_FALSE(context::counter_of(snmp, "Tcp", "ActiveOpen"));
    CHECK_FALSE(context::counter_of(snmp, "Udp", "ActiveOpens"));
    CHECK_FALSE(context::counter_of("Tcp: A B\nTcp: 1\n", "Tcp", "B"));
    CHECK_FALSE(context::counter_of("Tcp: A\nTcp: -1\n", "Tcp", "A"));
    CHECK_FALSE(context::counter_of("Tcp: A\n", "Tcp", "A"));
    CHECK_FALSE(context::counter_of("", "Tcp", "A"));
}

TEST_CASE("namespaces: sockstat", "[unit]") {
    constexpr const char* sockstat =
        "sockets: used 5\nTCP: inuse 5 orphan 0 tw 3 alloc 7 mem 1\nUDP: inuse 1";
    CHECK(context::sockstat_of(sockstat, "TCP", "tw") == 3);
    CHECK(context::sockstat_of(sockstat, "UDP", "inuse") == 1);
    CHECK_FALSE(context::sockstat_of(sockstat, "TCP", "tww"));
    CHECK_FALSE(context::sockstat_of("", "TCP", "tw"));
}

TEST_CASE("namespaces: our own", "[unit]") {
    const auto counts = context::read_namespace_counts("/proc", static_cast<uint32_t>(getpid()));
    REQUIRE(counts);
    CHECK(counts->time_wait);
    CHECK(counts->listen_drops);
    CHECK(context::read_opens("/proc", static_cast<uint32_t>(getpid())) >= counts->opens);
    CHECK_FALSE(context::read_namespace_counts("/proc", 4'194'305));  // beyond PID_MAX_LIMIT
}
