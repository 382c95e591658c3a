// SPDX-License-Identifier: Apache-2.0
//
// Namespaces that vanish with connections open in them: case 39.
#include <net/if.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <string>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/record.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/watch.h"

using namespace tcptrail::test;

namespace {

constexpr uint64_t minute_us = 60'000'000;

// A device of its own in `here` whose other end is in `there`, where nobody uses it: it vanishes when
// the kernel has taken that namespace down.
void tie(const Netns& here, const Netns& there) {
    here.ip("link add name witness type veth peer name witness netns /proc/" + std::to_string(getpid()) +
            "/fd/" + std::to_string(there.fd()));
}

bool await_taken_down(const Netns& here) {
    return here.inside([] {
        for (int waited_ms = 0; waited_ms < 10'000; ++waited_ms) {
            if (if_nametoindex("witness") == 0) return true;
            sleep_ms(1);
        }
        return false;
    });
}

// Some bytes each way between two sockets of one process.
void exchange_within(Actor& both, const Connection& made, size_t request, size_t response) {
    REQUIRE(both.call([=] {
        int result = send_bytes(made.client_fd, request);
        if (result == 0) result = receive_bytes(made.server_fd, request);
        if (result == 0) result = send_bytes(made.server_fd, response);
        if (result == 0) result = receive_bytes(made.client_fd, response);
        if (result == 0) result = await_acknowledged(made.client_fd);
        return result == 0 ? await_acknowledged(made.server_fd) : result;
    }) == 0);
}

}  // namespace

TEST_CASE("case 39: a process is killed, and its namespace goes with it", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Netns witness;
        auto net = std::make_unique<Netns>();
        tie(witness, *net);
        Watch watch{net.get()};
        Actor both(*net, "vanishing");
        watch.only_of({&both});
        const Connection made = establish(both, both, loopback(family));
        exchange_within(both, made, 1000, 5000);
        Record client_record = Record::client(both, made.client_end, made.server_end);
        Record server_record = Record::server(both, made.server_end, made.client_end);
        both.kill(SIGKILL);
        net.reset();
        const Ends told = watch.ends();
        CHECK(await_taken_down(witness));

        // The kernel closes a dying process's files in an order of its own.
        const bool client_first = told.client.text("end") == "END_LOCAL_CLOSE";
        Record& first = client_first ? client_record : server_record;
        Record& second = client_first ? server_record : client_record;
        client_record.traffic(1000, 5000);
        server_record.traffic(5000, 1000);
        const std::string opened = client_first ? "SYN_SENT" : "SYN_RECV";
        first.ended("END_LOCAL_CLOSE").ended_by(both);
        first.timeline({opened, "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
        second.ended("END_REMOTE_CLOSE");
        second.timeline({client_first ? "SYN_RECV" : "SYN_SENT", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
        for (Record* record : {&client_record, &server_record})
            record->any("process.executable");
        CHECK(client_record.differences(told.client) == "");
        CHECK(server_record.differences(told.server) == "");
    });
}

TEST_CASE("case 39: the device is deleted under a connection, then both namespaces go", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Netns witness;
        auto client_net = std::make_unique<Netns>();
        auto server_net = std::make_unique<Netns>();
        join_by_veth(*client_net, *server_net);
        tie(witness, *client_net);
        // How often the kernel sends the FIN of a socket that nobody holds any more.
        for (const Netns* net : {client_net.get(), server_net.get()})
            net->sysctl("net.ipv4.tcp_orphan_retries", "1");
        Watch watch{client_net.get(), server_net.get()};
        Actor server(*server_net, "cut-server");
        Actor client(*client_net, "cut-client");
        watch.only_of({&client, &server});
        const Connection made = establish(client, server, veth_end(family));
        exchange(client, server, made, 1000, 5000);
        Record client_record = Record::client(client, made.client_end, made.server_end);
        Record server_record = Record::server(server, made.server_end, made.client_end);
        client_net->ip("link del dev veth");
        client.kill(SIGKILL);
        server.kill(SIGKILL);
        client_net.reset();
        server_net.reset();
        const Ends told = watch.ends();
        CHECK(await_taken_down(witness));

        client_record.traffic(1000, 5000).ended_by(client).timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1"});
        server_record.traffic(5000, 1000).ended_by(server).timeline({"SYN_RECV", "ESTABLISHED", "FIN_WAIT1"});
        for (Record* record : {&client_record, &server_record}) {
            // The FINs do not even leave; the reason is the route's, where the kernel remembers it.
            record->ended("END_RETRANSMIT_TIMEOUT").any("process.executable").any("rto_count");
            record->one_of("error", {"ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH"}).present("error_number");
            // The kernel's guess for a path that is gone.
            record->between("mss", 1, 1500);
        }
        CHECK(client_record.differences(told.client) == "");
        CHECK(server_record.differences(told.server) == "");
    });
}
