// SPDX-License-Identifier: Apache-2.0
//
// MPTCP, case 37: each subflow is a TCP connection and told as one.
#include <linux/mptcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/record.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/watch.h"

using namespace tcptrail::test;

namespace {

constexpr uint64_t minute_us = 60'000'000;
constexpr int tcp = 0;
constexpr int mptcp = IPPROTO_MPTCP;
constexpr const char* second_address = "10.76.0.11";

// Empty, or why this machine cannot run these tests.
std::string why_not() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, mptcp);
    if (fd < 0) return std::string("no MPTCP sockets: ") + strerrorname_np(errno);
    close(fd);
    return "";
}

Connection establish_over(Actor& client, int client_protocol, Actor& server, int server_protocol,
                          const Endpoint& at) {
    const int listener = server.call([=] { return listen_on(at, 128, false, server_protocol); });
    REQUIRE(listener >= 0);
    return establish(client, server, listener, client_protocol);
}

// The subflows of a socket as the kernel tells them, the first one first.
struct Subflows {
    mptcp_subflow_data header;
    std::array<tcp_info, 2> info;

    size_t count() const { return header.num_subflows; }
};

Subflows subflows_of(int fd) {
    Subflows subflows{};
    subflows.header.size_subflow_data = sizeof subflows.header;
    subflows.header.size_user = sizeof subflows.info[0];
    socklen_t size = sizeof subflows;
    getsockopt(fd, SOL_MPTCP, MPTCP_TCPINFO, &subflows, &size);
    return subflows;
}

struct Both {
    Subflows client;
    Subflows server;
};

bool has_arrived(const tcp_info& from, const tcp_info& to) {
    return from.tcpi_bytes_sent - from.tcpi_bytes_retrans == to.tcpi_bytes_received && from.tcpi_unacked == 0;
}

// Waits until both ends have so many subflows and nothing is under way. What each has carried only the
// kernel knows: MPTCP sends data again, on any subflow, when the answer is late.
Both settle(Actor& client, Actor& server, const Connection& made, size_t count) {
    for (int waited_ms = 0; waited_ms < 5000; ++waited_ms) {
        const Both both{client.call([=] { return subflows_of(made.client_fd); }),
                        server.call([=] { return subflows_of(made.server_fd); })};
        bool settled = both.client.count() == count && both.server.count() == count;
        for (size_t i = 0; settled && i < count; ++i) {
            settled = has_arrived(both.client.info[i], both.server.info[i]) &&
                      has_arrived(both.server.info[i], both.client.info[i]);
        }
        if (settled) return both;
        sleep_ms(1);
    }
    FAIL("the subflows do not settle");
    return {};
}

void carried(Record& record, const tcp_info& info) {
    record.traffic(info.tcpi_bytes_sent - info.tcpi_bytes_retrans, info.tcpi_bytes_received);
    record.is("bytes_sent", info.tcpi_bytes_sent).is("bytes_retransmitted", info.tcpi_bytes_retrans);
    record.measured(info).is("mptcp", true);
    for (const char* limit : {"ssthresh", "send_buffer_limited_us", "receive_window_limited_us"})
        record.any(limit);
    // The end of the data has a FIN and acknowledgements of its own.
    record.between("segments_out", info.tcpi_segs_out + 1, info.tcpi_segs_out + 10);
    record.between("segments_in", info.tcpi_segs_in + 1, info.tcpi_segs_in + 10);
    // On a slow machine the kernel may send a tail loss probe.
    if (info.tcpi_total_retrans > 0)
        record.present("retransmit_first_us").present("retransmit_last_us").any("dsack_duplicates");
}

// accept() is seen through an MPTCP listener as through any.
void accepted(Record& server) {
    server.is("process.source", "OWNER_SOURCE_ACCEPT").between("accept_wait_us", 0, minute_us);
}

// After close() both ends agree on the end of the data first; then each of the two kernels closes its
// subflows by a worker, so that either FIN, or both, may be first. The two ends must agree.
void closed_by_workers(Record& client, Record& server, const Event& told) {
    const std::string end = told.text("end");
    if (end == "END_LOCAL_CLOSE") {
        client.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"}).ended(end);
        server.timeline({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"}).ended("END_REMOTE_CLOSE");
    } else if (end == "END_REMOTE_CLOSE") {
        client.timeline({"SYN_SENT", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"}).ended(end);
        server.timeline({"SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"}).ended("END_LOCAL_CLOSE");
    } else {
        client.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "CLOSING"}).ended("END_SIMULTANEOUS_CLOSE");
        server.timeline({"SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "CLOSING"}).ended("END_SIMULTANEOUS_CLOSE");
    }
}

// The record of the end whose remote end is `remote`.
const Event& with_remote(const std::vector<Event>& told, const Endpoint& remote) {
    const auto found = std::ranges::find_if(told, [&](const Event& event) {
        return event.text("remote_address") == address_text(remote) &&
               event.number("remote_port") == port_of(remote);
    });
    REQUIRE(found != told.end());
    return *found;
}

}  // namespace

TEST_CASE("case 37: MPTCP on both ends", "[kernel]") {
    if (const std::string reason = why_not(); !reason.empty()) SKIP_TEST(reason);
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Netns client_net;
        Netns server_net;
        join_by_veth(client_net, server_net);
        Watch watch{&client_net, &server_net};
        Actor server(server_net, "mptcp-server", {.uid = 65534});
        Actor client(client_net, "mptcp-client");
        const Connection made = establish_over(client, mptcp, server, mptcp, veth_end(family));
        exchange(client, server, made, 1000, 5000);
        const Both info = settle(client, server, made, 1);
        REQUIRE(info.client.info[0].tcpi_bytes_sent >= 1000);
        REQUIRE(info.server.info[0].tcpi_bytes_sent >= 5000);
        close_socket(client, made.client_fd);
        close_after_peer(server, made.server_fd);
        const Ends told = watch.ends();

        Record client_record = Record::client(client, made.client_end, made.server_end);
        Record server_record = Record::server(server, made.server_end, made.client_end);
        carried(client_record, info.client.info[0]);
        carried(server_record, info.server.info[0]);
        accepted(server_record);
        closed_by_workers(client_record, server_record, told.client);
        CHECK(client_record.differences(told.client) == "");
        CHECK(server_record.differences(told.server) == "");
    });
}

TEST_CASE("case 37: MPTCP on one end only is TCP", "[kernel]") {
    if (const std::string reason = why_not(); !reason.empty()) SKIP_TEST(reason);
    const auto [client_protocol, server_protocol] = GENERATE(std::pair(mptcp, tcp), std::pair(tcp, mptcp));
    scenario([=] {
        Netns client_net;
        Netns server_net;
        join_by_veth(client_net, server_net);
        Watch watch{&client_net, &server_net};
        Actor server(server_net, "half-server", {.uid = 65534});
        Actor client(client_net, "half-client");
        const Connection made =
            establish_over(client, client_protocol, server, server_protocol, veth_end(AF_INET));
        exchange(client, server, made, 1000, 5000);
        close_socket(client, made.client_fd);
        close_after_peer(server, made.server_fd);
        const Ends told = watch.ends();

        Record client_record = Record::client(client, made.client_end, made.server_end);
        client_record.traffic(1000, 5000).ended("END_LOCAL_CLOSE").ended_by(client);
        client_record.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
        CHECK(client_record.differences(told.client) == "");
        Record server_record = Record::server(server, made.server_end, made.client_end);
        server_record.traffic(5000, 1000).ended("END_REMOTE_CLOSE");
        server_record.timeline({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
        accepted(server_record);
        CHECK(server_record.differences(told.server) == "");
    });
}

TEST_CASE("case 37: a second subflow, opened by the kernel, is the process's too", "[kernel]") {
    if (const std::string reason = why_not(); !reason.empty()) SKIP_TEST(reason);
    scenario([] {
        Netns client_net;
        Netns server_net;
        join_by_veth(client_net, server_net);
        client_net.add_address(second_address, 24, "veth");
        client_net.ip("mptcp limits set subflow 1");
        server_net.ip("mptcp limits set subflow 1");
        client_net.ip(std::string("mptcp endpoint add ") + second_address + " dev veth subflow");
        Watch watch{&client_net, &server_net};
        Actor server(server_net, "join-server", {.uid = 65534});
        Actor client(client_net, "join-client");
        const Connection made = establish_over(client, mptcp, server, mptcp, veth_end(AF_INET));
        // The kernel opens it when the peer has answered once.
        exchange(client, server, made, 1, 1);
        settle(client, server, made, 2);
        exchange(client, server, made, 200'000, 300'000);
        const Both info = settle(client, server, made, 2);
        close_socket(client, made.client_fd);
        close_after_peer(server, made.server_fd);
        const std::vector<Event> told = watch.closed(4);

        Record client_record = Record::client(client, made.client_end, made.server_end);
        Record server_record = Record::server(server, made.server_end, made.client_end);
        carried(client_record, info.client.info[0]);
        carried(server_record, info.server.info[0]);
        accepted(server_record);
        const Event& server_told = with_remote(told, made.client_end);
        const auto client_told = std::ranges::find_if(told, [&](const Event& event) {
            return event.text("role") == "ROLE_CLIENT" &&
                   event.number("local_port") == port_of(made.client_end);
        });
        REQUIRE(client_told != told.end());
        closed_by_workers(client_record, server_record, *client_told);
        CHECK(client_record.differences(*client_told) == "");
        CHECK(server_record.differences(server_told) == "");

        const auto second_told = std::ranges::find_if(
            told, [](const Event& event) { return event.text("local_address") == second_address; });
        REQUIRE(second_told != told.end());
        const Endpoint second_end =
            endpoint(second_address, static_cast<uint16_t>(second_told->number("local_port").value_or(0)));
        Record second_client = Record::client(client, second_end, made.server_end);
        Record second_server = Record::server(server, made.server_end, second_end);
        // No accept() returns it: the listener's process is all that is known.
        carried(second_client, info.client.info[1]);
        carried(second_server, info.server.info[1]);
        second_server.is("process.source", "OWNER_SOURCE_LISTENER").absent("accept_wait_us");
        closed_by_workers(second_client, second_server, *second_told);
        CHECK(second_client.differences(*second_told) == "");
        CHECK(second_server.differences(with_remote(told, second_end)) == "");
    });
}

TEST_CASE("case 37: an attempt by MPTCP is refused", "[kernel]") {
    if (const std::string reason = why_not(); !reason.empty()) SKIP_TEST(reason);
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Netns net;
        Watch watch{&net};
        Actor client(net, "mptcp-client", {.uid = 65534});
        const Endpoint to = loopback(family, 99);
        REQUIRE(client.call([=] { return connect_to(to, nullptr, mptcp); }) == -ECONNREFUSED);

        Record record = Record::failed(client, address_text(to), to, "OUTCOME_REFUSED");
        record.error(ECONNREFUSED).reset_received("SYN_SENT").between("lifetime_us", 1, minute_us);
        record.is("segments_in", 1);
        CHECK(record.differences(watch.one()) == "");
    });
}

TEST_CASE("a TCP connection through an MPTCP listener, both older than the observer", "[kernel]") {
    if (const std::string reason = why_not(); !reason.empty()) SKIP_TEST(reason);
    scenario([] {
        Netns net;
        Actor server(net, "old-server", {.uid = 65534});
        Actor client(net, "old-client");
        const Connection made = establish_over(client, tcp, server, mptcp, loopback(AF_INET));
        exchange(client, server, made, 1000, 5000);
        Observer observer({"--netns", std::to_string(net.inode())});
        Watch watch({&net}, observer);
        close_socket(client, made.client_fd);
        close_after_peer(server, made.server_fd);
        // The listening port tells which end is which.
        const Ends told = watch.ends();
        for (const Event* event : {&told.client, &told.server}) {
            CHECK(event->partial == std::vector<std::string>{"PARTIAL_BEGAN_BEFORE_CAPTURE"});
            CHECK(event->text("process.source") == "OWNER_SOURCE_SCAN");
            CHECK(event->text("mptcp") == "false");
        }
        CHECK(told.client.number("process.pid") == client.pid());
        CHECK(told.client.number("bytes_sent") == 1000);
        CHECK(told.client.text("end") == "END_LOCAL_CLOSE");
        CHECK(told.server.number("process.pid") == server.pid());
        CHECK(told.server.number("bytes_sent") == 5000);
        CHECK(told.server.text("end") == "END_REMOTE_CLOSE");
    });
}
