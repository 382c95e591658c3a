// SPDX-License-Identifier: Apache-2.0
//
// More bytes than 32 bits can count: case 42.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/record.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/watch.h"

using namespace tcptrail::test;

namespace {

constexpr uint64_t minute_us = 60'000'000;
constexpr uint64_t block = 1'000'000;
constexpr uint64_t trial = 64 * block;
constexpr uint64_t volume = 10'000 * block;  // each way
// Not on a machine that would take longer.
constexpr uint64_t patience_us = 40'000'000;

// The whole of `size` bytes, in large blocks. 0 or -errno.
int send_volume(int fd, uint64_t size) {
    static const std::vector<char> bytes(block);
    while (size > 0) {
        const ssize_t sent = send(fd, bytes.data(), std::min(size, block), MSG_NOSIGNAL);
        if (sent < 0) return -errno;
        size -= static_cast<uint64_t>(sent);
    }
    return 0;
}

// The same. TCP takes MSG_TRUNC for "throw it away": nothing is copied.
int discard_volume(int fd, uint64_t size) {
    while (size > 0) {
        const ssize_t received = recv(fd, nullptr, std::min(size, 16 * block), MSG_TRUNC);
        if (received < 0) return -errno;
        if (received == 0) return -ENODATA;
        size -= static_cast<uint64_t>(received);
    }
    return 0;
}

void move_volume(Actor& from, int from_fd, Actor& to, int to_fd, uint64_t size) {
    from.start([=] { return send_volume(from_fd, size); });
    REQUIRE(to.call([=] { return discard_volume(to_fd, size); }) == 0);
    REQUIRE(from.finish<int>() == 0);
    REQUIRE(from.call([=] { return await_acknowledged(from_fd); }) == 0);
}

// There and back: how long it took, in microseconds.
uint64_t move_both_ways(Actor& client, Actor& server, const Connection& made, uint64_t size) {
    const uint64_t begin = unix_nanos();
    move_volume(client, made.client_fd, server, made.server_fd, size);
    move_volume(server, made.server_fd, client, made.client_fd, size);
    return (unix_nanos() - begin) / 1000;
}

void carried(Record& record, const tcp_info& info) {
    record.traffic(volume, volume).measured(info).between("lifetime_us", 1, 10 * minute_us);
    record.is("bytes_sent", volume + info.tcpi_bytes_retrans);
    record.is("bytes_retransmitted", info.tcpi_bytes_retrans);
    record.between("cwnd", 1, 100'000);  // shrinks while nothing is sent
    for (const char* limit : {"ssthresh", "receive_window_limited_us", "send_buffer_limited_us"})
        record.any(limit);
    if (info.tcpi_total_retrans == 0) return;
    // A busy machine is late with its acknowledgements.
    record.present("retransmit_first_us").present("retransmit_last_us");
    record.any("rto_count").any("dsack_duplicates");
}

}  // namespace

TEST_CASE("case 42: 10 GB each way in one connection", "[kernel]") {
    uint64_t expected_us = 0;
    scenario([&] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "large-server");
        Actor client(net, "large-client", {.uid = 65534});
        const Connection made = establish(client, server, loopback(AF_INET));
        expected_us = move_both_ways(client, server, made, trial) * (volume / trial);
        const bool slow = expected_us > patience_us;
        if (!slow) move_both_ways(client, server, made, volume - trial);
        // Longer than an acknowledgement may be delayed.
        sleep_ms(250);
        const tcp_info client_info = client.call([=] { return info_of(made.client_fd); });
        const tcp_info server_info = server.call([=] { return info_of(made.server_fd); });
        close_socket(client, made.client_fd);
        close_after_peer(server, made.server_fd);
        const Ends told = watch.ends();
        if (slow) return;

        REQUIRE(client_info.tcpi_bytes_received == volume);
        REQUIRE(server_info.tcpi_bytes_received == volume);
        Record client_record = Record::client(client, made.client_end, made.server_end);
        carried(client_record, client_info);
        client_record.ended("END_LOCAL_CLOSE").ended_by(client);
        client_record.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
        CHECK(client_record.differences(told.client) == "");
        Record server_record = Record::server(server, made.server_end, made.client_end);
        carried(server_record, server_info);
        server_record.ended("END_REMOTE_CLOSE");
        server_record.timeline({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
        CHECK(server_record.differences(told.server) == "");
    });
    if (expected_us > patience_us)
        SKIP_TEST("20 GB over loopback would take " + std::to_string(expected_us / 1'000'000) + " s here");
}
