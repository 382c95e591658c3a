// SPDX-License-Identifier: Apache-2.0
//
// Connections that end because nothing comes back any more: cases 17, 18, 19.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/record.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/watch.h"
#include "tests/kernel/wire.h"

using namespace tcptrail::test;

namespace {

constexpr uint64_t second_us = 1'000'000;

// The client's socket ends by ETIMEDOUT while the wire is cut; the server's is then reset by hand,
// without a word to the client.
struct Cut {
    tcp_info info;  // of the client's socket, after its end
    Ends told;
    Record client;
    Record server;
};

// `prepare` and `begin` run in the client with its socket: before the wire is cut, and after.
template <class Prepare, class Begin>
Cut cut_the_wire(int family, int idle_ms, Prepare prepare, Begin begin) {
    Wire wire;
    wire.client().sysctl("net.ipv4.tcp_retries2", "2");
    Watch watch{&wire.client(), &wire.server()};
    Actor server(wire.server(), "cut-server");
    Actor client(wire.client(), "cut-client");
    const Connection made = establish(client, server, Wire::server_end(family, 0));
    REQUIRE(client.call([=] { return prepare(made.client_fd); }) == 0);
    exchange(client, server, made, 100, 200);
    sleep_ms(idle_ms);
    wire.rules().drop_to_server = true;
    wire.rules().drop_to_client = true;
    REQUIRE(client.call([=] { return begin(made.client_fd); }) == 0);
    REQUIRE(client.call([=] { return read_to_end(made.client_fd); }) == -ETIMEDOUT);
    const tcp_info info = client.call([=] { return info_of(made.client_fd); });
    close_socket(client, made.client_fd);
    REQUIRE(server.call([=] { return close_with_reset(made.server_fd); }) == 0);
    Cut cut{info, watch.ends(), Record::client(client, made.client_end, made.server_end),
            Record::server(server, made.server_end, made.client_end)};
    cut.client.timeline({"SYN_SENT", "ESTABLISHED"}).error(ETIMEDOUT);
    cut.server.traffic(200, 100).ended("END_LOCAL_RESET").ended_by(server);
    cut.server.timeline({"SYN_RECV", "ESTABLISHED"}).reset_sent("ESTABLISHED");
    return cut;
}

constexpr auto nothing = [](int) { return 0; };
constexpr auto write_50 = [](int fd) { return send_bytes(fd, 50); };

// What the client's record says of 50 bytes that were never acknowledged.
void expect_lost_write(Record& record, const tcp_info& info) {
    const uint64_t times = info.tcpi_total_retrans;
    record.traffic(150 + 50 * times, 200).is("bytes_acked", 100).is("send_queue_bytes", 50);
    record.is("retransmits", times).is("bytes_retransmitted", 50 * times);
    // The first may be a tail loss probe.
    record.between("timeout_retransmits", times - 1, times)
        .is("fast_retransmits", 0)
        .is("fin_retransmits", 0);
    record.between("data_segments_out", 2 + times, 2 + times).any("lost").any("rto_count");
    record.present("retransmit_first_us").present("retransmit_last_us").any("busy_us");
    record.is("ssthresh", info.tcpi_snd_ssthresh);
}

}  // namespace

TEST_CASE("case 17: an idle connection is dropped in silence and the client writes", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Cut cut = cut_the_wire(family, 500, nothing, write_50);
        REQUIRE(cut.info.tcpi_total_retrans >= 1);
        cut.client.ended("END_RETRANSMIT_TIMEOUT");
        expect_lost_write(cut.client, cut.info);
        CHECK(cut.client.differences(cut.told.client) == "");
        CHECK(cut.server.differences(cut.told.server) == "");
    });
}

TEST_CASE("case 17: how long it was idle before that write, and its timeouts", "[kernel]") {
    scenario([] {
        const Cut cut = cut_the_wire(AF_INET, 2000, nothing, write_50);
        const uint64_t idle_us = cut.told.client.number("idle_us").value_or(0);
        CHECK(idle_us >= 19 * second_us / 10);
        CHECK(idle_us <= 3 * second_us);  // without the time of the retransmissions
        if (kernel_counts_timeouts())
            CHECK(cut.told.client.number("rto_count").value_or(0) >= 1);
        else
            CHECK_FALSE(cut.told.client.has("rto_count"));
    });
}

TEST_CASE("case 18: keepalive finds the peer gone", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        const auto keepalive = [](int fd) {
            return set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) |
                   set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 1) |
                   set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1) |
                   set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 2);
        };
        Cut cut = cut_the_wire(family, 0, keepalive, nothing);
        cut.client.traffic(100, 200).ended("END_KEEPALIVE_TIMEOUT").reset_sent("ESTABLISHED", "KEEPALIVE");
        cut.client.is("keepalive", true).is("keepalive_idle_secs", 1).any("rto_count");
        cut.client.between("idle_us", 2 * second_us, 60 * second_us);
        CHECK(cut.client.differences(cut.told.client) == "");
        CHECK(cut.server.differences(cut.told.server) == "");
    });
}

TEST_CASE("case 19: TCP_USER_TIMEOUT expires", "[kernel]") {
    scenario([] {
        const auto user_timeout = [](int fd) { return set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 700); };
        Cut cut = cut_the_wire(AF_INET, 0, user_timeout, write_50);
        cut.client.ended("END_RETRANSMIT_TIMEOUT");
        expect_lost_write(cut.client, cut.info);
        CHECK(cut.client.differences(cut.told.client) == "");
        CHECK(cut.server.differences(cut.told.server) == "");
    });
}
