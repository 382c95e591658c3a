// SPDX-License-Identifier: Apache-2.0
//
// What depends on when a record is written, and on what was seen until then: of open connections, of how
// long one was idle, of kinds of retransmits.
#include "agent/connections/connections.h"

#include "tests/catch.h"
#include "tests/unit/records.h"

using namespace tcptrail;
using namespace tcptrail::connections;
using tcptrail::tests::client;
using tcptrail::tests::make_record;
using tcptrail::tests::second_ns;
using tcptrail::tests::walk;

namespace {

constexpr uint64_t epoch = 1'700'000'000 * second_ns;  // wall clock at boot
const Kernel kernel{250, {}};

}  // namespace

TEST_CASE("connection: idle until the first byte that was never acknowledged", "[unit]") {
    auto record = client({tcp_syn_sent, tcp_established, tcp_close});
    record.ended_ns = 200 * second_ns;
    record.socket.bytes_sent = 150;
    record.socket.bytes_received = 200;
    record.socket.quiet_jiffies = 10;  // a retransmission
    tcptrail_trouble& s = record.trouble;
    s.send_queue = 50;
    s.received_jiffies = 20'000;  // 250 Hz: 80 s
    s.acked_jiffies = 15'000;     // 60 s
    s.first_sent_us = 45'000'000;
    const auto idle = [&] { return connection_of(record, kernel, epoch).idle_us; };
    SECTION("the last that crossed was an acknowledgement") {
        CHECK(idle() == 15'000'000u);
    }
    SECTION("or data") {
        s.received_jiffies = 12'500;
        CHECK(idle() == 5'000'000u);
    }
    SECTION("in use until then") {
        s.received_jiffies = 11'250;
        CHECK(idle() == 0u);
        s.received_jiffies = 0;  // clocks differ by a jiffy
        CHECK(idle() == 0u);
    }
    SECTION("nothing outstanding: until the end") {
        s.send_queue = 0;
        CHECK(idle() == 40'000u);
    }
}

TEST_CASE("connection: idle for no longer than it lasted", "[unit]") {
    auto record = client({tcp_syn_sent, tcp_established, tcp_fin_wait1, tcp_fin_wait2, tcp_close});
    record.socket.bytes_sent = 1;
    record.socket.quiet_jiffies = 1'000'000;
    CHECK(connection_of(record, kernel, epoch).idle_us == 3'000'000);
    record.birth.opened_ns = 0;  // open before the capture
    CHECK(connection_of(record, kernel, epoch).idle_us == 4'000'000'000);
}

TEST_CASE("connection: while it is open", "[unit]") {
    auto record = client({tcp_syn_sent, tcp_established});
    tcptrail::tests::end_by(record, 99, "other");  // of a shutdown() of a direction, later perhaps
    SECTION("progress") {
        record.flags |= TCPTRAIL_RECORD_PROGRESS;
        const Connection c = connection_of(record, kernel, epoch);
        CHECK(c.kind == Kind::progress);
        CHECK(c.outcome == Outcome::established);
        CHECK(c.lifetime_us == 2'999'000);
        CHECK(c.end == End::unspecified);
        CHECK_FALSE(c.ended_unix_nanos);
        CHECK_FALSE(c.error_number);
        CHECK(c.ended_by.pid == 0);
        CHECK(c.traffic);
    }
    SECTION("opened") {
        record.flags |= TCPTRAIL_RECORD_OPENED;
        CHECK(connection_of(record, kernel, epoch).kind == Kind::opened);
        CHECK(connection_of(record, kernel, epoch).connect_us == 1000);
    }
    SECTION("an attempt has no outcome yet, but an age and its SYNs") {
        auto attempt = client({tcp_syn_sent});
        attempt.flags |= TCPTRAIL_RECORD_PROGRESS;
        attempt.trouble.retransmits = 2;
        const Connection c = connection_of(attempt, kernel, epoch);
        CHECK(c.outcome == Outcome::unspecified);
        CHECK(c.end == End::unspecified);
        CHECK(c.lifetime_us == 3'000'000);
        CHECK(c.syn_retransmits == 2);
        CHECK_FALSE(c.traffic->fast_retransmits);
    }
    SECTION("the same connection all the time") {
        const Connection end = connection_of(record, kernel, epoch);
        record.flags |= TCPTRAIL_RECORD_PROGRESS;
        CHECK(connection_of(record, kernel, epoch).cookie == end.cookie);
        CHECK(connection_of(record, kernel, epoch).birth_ns == end.birth_ns);
    }
}

TEST_CASE("connection: retransmits by kind, where all of them were seen", "[unit]") {
    auto record = client({tcp_syn_sent, tcp_established, tcp_fin_wait1, tcp_fin_wait2, tcp_close});
    record.details.fast_retransmits = 1;
    record.details.timeout_retransmits = 2;
    record.details.probe_retransmits = 3;
    record.details.fin_retransmits = 4;
    const Connection c = connection_of(record, kernel, epoch);
    CHECK(c.traffic->fast_retransmits == 1);
    CHECK(c.traffic->timeout_retransmits == 2);
    CHECK(c.traffic->probe_retransmits == 3);
    CHECK(c.traffic->fin_retransmits == 4);
    SECTION("not without the hook") {
        CHECK_FALSE(connection_of(record, {1000, {}, false}, 0).traffic->fast_retransmits);
    }
    SECTION("not of an older connection") {
        record.birth.flags |= TCPTRAIL_BIRTH_ADOPTED;
        CHECK_FALSE(connection_of(record, kernel, epoch).traffic->fast_retransmits);
    }
    SECTION("not where the kernel had no room for them") {
        record.birth.flags |= TCPTRAIL_BIRTH_DETAILS_LOST;
        CHECK_FALSE(connection_of(record, kernel, epoch).traffic->fast_retransmits);
    }
}
