// SPDX-License-Identifier: Apache-2.0
//
// Connections that end by FIN: cases 1 to 4.
#include <unistd.h>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/record.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/timing.h"
#include "tests/kernel/watch.h"
#include "tests/kernel/wire.h"

using namespace tcptrail::test;

namespace {

constexpr uint64_t minute_us = 60'000'000;

// Cases 1 and 2 between two namespaces; one end closes first.
void close_in_turn(int family, bool client_first) {
    Netns client_net;
    Netns server_net;
    join_by_veth(client_net, server_net);
    Watch watch{&client_net, &server_net};
    Actor server(server_net, "turn-server", {.uid = 65534});
    Actor client(client_net, "turn-client");

    const Connection made = establish(client, server, veth_end(family));
    exchange(client, server, made, 1000, 5000);
    const tcp_info client_info = client.call([=] { return info_of(made.client_fd); });
    const tcp_info server_info = server.call([=] { return info_of(made.server_fd); });
    if (client_first) {
        close_socket(client, made.client_fd);
        close_after_peer(server, made.server_fd);
    } else {
        close_socket(server, made.server_fd);
        close_after_peer(client, made.client_fd);
    }
    const Ends told = watch.ends();

    // The kernel's own word on who holds TIME_WAIT.
    CHECK(client_net.time_wait_sockets() == (client_first ? 1 : 0));
    CHECK(server_net.time_wait_sockets() == (client_first ? 0 : 1));

    Record client_record = Record::client(client, made.client_end, made.server_end);
    Record server_record = Record::server(server, made.server_end, made.client_end);
    client_record.traffic(1000, 5000).measured(client_info);
    server_record.traffic(5000, 1000).measured(server_info);
    if (client_first) {
        client_record.ended("END_LOCAL_CLOSE").ended_by(client);
        client_record.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
        server_record.ended("END_REMOTE_CLOSE");
        server_record.timeline({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
    } else {
        client_record.ended("END_REMOTE_CLOSE");
        client_record.timeline({"SYN_SENT", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
        server_record.ended("END_LOCAL_CLOSE").ended_by(server);
        server_record.timeline({"SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
    }
    CHECK(client_record.differences(told.client) == "");
    CHECK(server_record.differences(told.server) == "");
}

}  // namespace

TEST_CASE("case 1: the client closes first", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] { close_in_turn(family, true); });
}

TEST_CASE("case 2: the server closes first", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] { close_in_turn(family, false); });
}

TEST_CASE("case 3: both close at once", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Wire wire;
        Watch watch{&wire.client(), &wire.server()};
        Actor server(wire.server(), "both-server");
        Actor client(wire.client(), "both-client");

        const Connection made = establish(client, server, Wire::server_end(family, 0));
        exchange(client, server, made, 700, 900);
        // Both FINs are on their way before either arrives.
        wire.rules().hold = true;
        close_socket(client, made.client_fd);
        close_socket(server, made.server_fd);
        wire.rules().hold = false;
        const Ends told = watch.ends();

        CHECK(wire.client().time_wait_sockets() == 1);
        CHECK(wire.server().time_wait_sockets() == 1);
        Record client_record = Record::client(client, made.client_end, made.server_end);
        client_record.traffic(700, 900).ended("END_SIMULTANEOUS_CLOSE").ended_by(client);
        client_record.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "CLOSING"});
        CHECK(client_record.differences(told.client) == "");
        Record server_record = Record::server(server, made.server_end, made.client_end);
        server_record.traffic(900, 700).ended("END_SIMULTANEOUS_CLOSE").ended_by(server);
        server_record.timeline({"SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "CLOSING"});
        CHECK(server_record.differences(told.server) == "");
    });
}

TEST_CASE("case 4: the client shuts down its side and the server goes on sending", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        constexpr uint64_t pause_us = 300'000;
        Netns net;
        Watch watch{&net};
        Actor server(net, "half-server");
        Actor client(net, "half-client");

        const Connection made = establish(client, server, loopback(family));
        exchange(client, server, made, 100, 200);
        REQUIRE(client.call([=] { return shutdown(made.client_fd, SHUT_WR); }) == 0);
        REQUIRE(server.call([=] { return read_to_end(made.server_fd); }) == 0);
        sleep_ms(pause_us / 1000);
        transfer(server, made.server_fd, client, made.client_fd, 3000);
        close_socket(server, made.server_fd);
        close_after_peer(client, made.client_fd);
        const Ends told = watch.ends();

        Record client_record = Record::client(client, made.client_end, made.server_end);
        client_record.traffic(100, 3200).ended("END_LOCAL_CLOSE").ended_by(client);
        client_record.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
        client_record.between("lifetime_us", pause_us, minute_us);
        CHECK(client_record.differences(told.client) == "");
        const uint64_t client_end_us = *told.client.number("connect_us") + *told.client.number("lifetime_us");
        // The acknowledgement of the FIN may come up to a delayed one later.
        CHECK(client_end_us - entered_at(told.client, "FIN_WAIT1") >= pause_us);
        CHECK(client_end_us - entered_at(told.client, "FIN_WAIT2") >= pause_us / 2);

        Record server_record = Record::server(server, made.server_end, made.client_end);
        server_record.traffic(3200, 100).ended("END_REMOTE_CLOSE");
        server_record.timeline({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
        server_record.between("lifetime_us", pause_us, minute_us);
        CHECK(server_record.differences(told.server) == "");
        CHECK(entered_at(told.server, "LAST_ACK") - entered_at(told.server, "CLOSE_WAIT") >= pause_us);
    });
}

TEST_CASE("case 4: the server shuts down its side and the client goes on sending", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "half-server");
        Actor client(net, "half-client");

        const Connection made = establish(client, server, loopback(AF_INET));
        exchange(client, server, made, 100, 200);
        REQUIRE(server.call([=] { return shutdown(made.server_fd, SHUT_WR); }) == 0);
        REQUIRE(client.call([=] { return read_to_end(made.client_fd); }) == 0);
        transfer(client, made.client_fd, server, made.server_fd, 3000);
        close_socket(client, made.client_fd);
        close_after_peer(server, made.server_fd);
        const Ends told = watch.ends();

        Record client_record = Record::client(client, made.client_end, made.server_end);
        client_record.traffic(3100, 200).ended("END_REMOTE_CLOSE");
        client_record.timeline({"SYN_SENT", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
        CHECK(client_record.differences(told.client) == "");
        Record server_record = Record::server(server, made.server_end, made.client_end);
        server_record.traffic(200, 3100).ended("END_LOCAL_CLOSE").ended_by(server);
        server_record.timeline({"SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
        CHECK(server_record.differences(told.server) == "");
    });
}
