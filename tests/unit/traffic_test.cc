// SPDX-License-Identifier: Apache-2.0
//
// What a connection has carried and measured: of what the kernel counts that which is payload, and its units.
#include "agent/connections/connections.h"

#include "tests/catch.h"
#include "tests/unit/records.h"

using namespace tcptrail;
using namespace tcptrail::connections;
using tcptrail::tests::client;
using tcptrail::tests::second_ns;
using tcptrail::tests::server;

namespace {

constexpr uint64_t epoch = 1'700'000'000 * second_ns;  // wall clock at boot
const Kernel kernel{250, {}};

constexpr uint8_t est = tcp_established, syn = tcp_syn_sent, rcv = tcp_syn_recv, fw1 = tcp_fin_wait1,
                  fw2 = tcp_fin_wait2, cw = tcp_close_wait, la = tcp_last_ack, closing = tcp_closing,
                  done = tcp_close;

}  // namespace

// What the kernel counts and what of it is payload. SYN and FIN take a sequence number each.
TEST_CASE("connection: bytes are payload", "[unit]") {
    struct Case {
        const char* what;
        tcptrail_record record;
        uint32_t flags;
        uint64_t acked, received;
        uint32_t send_queue, receive_queue;
        uint64_t payload_acked, payload_received;
        uint32_t payload_to_send, payload_to_read;
    };
    constexpr uint32_t fin_in = TCPTRAIL_RECORD_FIN_RECEIVED;
    const Case cases[] = {
        {"client, closed first: SYN and FIN acknowledged", client({syn, est, fw1, fw2, done}), fin_in, 102,
         51, 0, 0, 100, 50, 0, 0},
        {"client, closed second", client({syn, est, cw, la, done}), fin_in, 102, 51, 0, 0, 100, 50, 0, 0},
        {"server, closed first: only the FIN", server({rcv, est, fw1, fw2, done}), fin_in, 101, 51, 0, 0, 100,
         50, 0, 0},
        {"server, closed second", server({rcv, est, cw, la, done}), fin_in, 101, 51, 0, 0, 100, 50, 0, 0},
        {"both at once", client({syn, est, fw1, closing, done}), fin_in, 102, 51, 0, 0, 100, 50, 0, 0},
        {"orphan in FIN_WAIT2: the peer's FIN never came to this socket", client({syn, est, fw1, fw2, done}),
         TCPTRAIL_RECORD_ORPHAN, 102, 50, 0, 0, 100, 50, 0, 0},
        {"the FIN was never acknowledged, nor the last 10 bytes", client({syn, est, fw1, done}), 0, 91, 0, 11,
         0, 90, 0, 10, 0},
        {"no FIN was sent: a reset", client({syn, est, done}), 0, 91, 50, 10, 7, 90, 50, 10, 7},
        {"the peer's FIN was received and not read", client({syn, est, cw, done}), fin_in, 101, 51, 0, 8, 100,
         50, 0, 7},
        {"nothing but the handshake", client({syn, est, fw1, fw2, done}), fin_in, 2, 1, 0, 0, 0, 0, 0, 0},
        {"simultaneous open", client({syn, rcv, est, fw1, fw2, done}), fin_in, 102, 51, 0, 0, 100, 50, 0, 0},
        {"more than fits 32 bits", client({syn, est, fw1, fw2, done}), fin_in, 10'000'000'002, 20'000'000'001,
         0, 0, 10'000'000'000, 20'000'000'000, 0, 0},
        {"less than there must be: not below 0", client({syn, est, fw1, fw2, done}), fin_in, 0, 0, 0, 0, 0, 0,
         0, 0},
    };
    for (const Case& test : cases) {
        INFO(test.what);
        tcptrail_record record = test.record;
        record.flags = test.flags;
        record.socket.bytes_sent = 12345;
        record.trouble.bytes_retransmitted = 345;
        record.socket.bytes_acked = test.acked;
        record.socket.bytes_received = test.received;
        record.trouble.send_queue = test.send_queue;
        record.socket.receive_queue = test.receive_queue;
        const Connection c = connection_of(record, kernel, epoch);
        REQUIRE(c.traffic);
        CHECK(c.traffic->bytes_sent == 12345);
        CHECK(c.traffic->bytes_retransmitted == 345);
        CHECK(c.traffic->bytes_acked == test.payload_acked);
        CHECK(c.traffic->bytes_received == test.payload_received);
        CHECK(c.traffic->send_queue_bytes == test.payload_to_send);
        CHECK(c.traffic->receive_queue_bytes == test.payload_to_read);
    }
}

TEST_CASE("connection: measurements that were not made are absent", "[unit]") {
    auto record = client({syn, est, fw1, fw2, done});
    record.flags = TCPTRAIL_RECORD_FIN_RECEIVED;
    const Connection c = connection_of(record, kernel, epoch);
    REQUIRE(c.traffic);
    CHECK_FALSE(c.traffic->rto_count);
    CHECK_FALSE(c.traffic->rtt_us);
    CHECK_FALSE(c.traffic->rtt_var_us);
    CHECK_FALSE(c.traffic->rtt_min_us);
    CHECK_FALSE(c.traffic->receive_rtt_us);
    CHECK_FALSE(c.traffic->ssthresh);
    CHECK_FALSE(c.traffic->delivery_rate_bps);
    CHECK_FALSE(c.traffic->keepalive_idle_secs);
    CHECK_FALSE(c.idle_us);  // no byte in either direction
    CHECK(c.traffic->busy_us == 0u);
    CHECK(c.traffic->send_queue_bytes == 0u);
}

TEST_CASE("connection: units of what was measured", "[unit]") {
    auto record = client({syn, est, fw1, fw2, done});
    record.flags = TCPTRAIL_RECORD_FIN_RECEIVED | TCPTRAIL_RECORD_HAS_RTO_COUNT | TCPTRAIL_RECORD_KEEPALIVE |
                   TCPTRAIL_RECORD_NODELAY;
    tcptrail_socket& s = record.socket;
    s.bytes_sent = 10;
    s.srtt_us = 8000;
    s.mdev_us = 2000;
    s.rtt_min_us = 900;
    s.receive_rtt_us = 1600;
    s.ssthresh = 20;
    s.mss = 500;
    s.rate_delivered = 3;
    s.rate_interval_us = 1'500'000;
    record.trouble.chrono_jiffies[0] = 250;
    record.trouble.chrono_jiffies[1] = 50;
    record.trouble.chrono_jiffies[2] = 25;
    s.quiet_jiffies = 500;
    s.keepalive_idle_jiffies = 7200 * 250;
    const Connection c = connection_of(record, kernel, epoch);
    REQUIRE(c.traffic);
    const Traffic& t = *c.traffic;
    CHECK(t.rto_count == 0u);
    CHECK(t.rtt_us == 1000u);
    CHECK(t.rtt_var_us == 500u);
    CHECK(t.rtt_min_us == 900u);
    CHECK(t.receive_rtt_us == 200u);
    CHECK(t.ssthresh == 20u);
    CHECK(t.delivery_rate_bps == 8000u);
    CHECK(t.busy_us == 1'300'000u);  // as ss -ti: the limits are part of being busy
    CHECK(t.receive_window_limited_us == 200'000u);
    CHECK(t.send_buffer_limited_us == 100'000u);
    CHECK(t.keepalive_idle_secs == 7200u);
    CHECK(c.idle_us == 2'000'000u);
    CHECK(t.keepalive);
    CHECK(t.nodelay);
    CHECK_FALSE(t.fast_open);
    CHECK_FALSE(t.mptcp);

    SECTION("49 days of jiffies at 1000 Hz") {
        record.ended_ns = 5'000'000 * second_ns;
        record.socket.quiet_jiffies = ~0u;
        record.trouble.chrono_jiffies[1] = ~0u;
        const Connection longest = connection_of(record, {1000, {}}, epoch);
        CHECK(longest.idle_us == 4'294'967'295'000u);
        CHECK(longest.traffic->receive_window_limited_us == 4'294'967'295'000u);
    }
    SECTION("without HZ, what is counted in jiffies is absent") {
        const Connection unknown = connection_of(record, {}, epoch);
        CHECK_FALSE(unknown.idle_us);
        CHECK_FALSE(unknown.traffic->busy_us);
        CHECK_FALSE(unknown.traffic->receive_window_limited_us);
        CHECK_FALSE(unknown.traffic->send_buffer_limited_us);
        CHECK_FALSE(unknown.traffic->keepalive_idle_secs);
        CHECK(unknown.traffic->rtt_us == 1000u);
    }
    SECTION("data that was only received counts for idleness, a FIN does not") {
        record.socket.bytes_sent = 0;
        record.socket.bytes_received = 1;
        CHECK_FALSE(connection_of(record, kernel, epoch).idle_us);
        record.socket.bytes_received = 2;
        CHECK(connection_of(record, kernel, epoch).idle_us == 2'000'000u);
    }
}
