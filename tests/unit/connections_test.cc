// SPDX-License-Identifier: Apache-2.0
#include "agent/connections/connections.h"

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "tests/catch.h"
#include "tests/unit/records.h"

using namespace tcptrail;
using namespace tcptrail::connections;
using tcptrail::tests::client;
using tcptrail::tests::make_record;
using tcptrail::tests::second_ns;
using tcptrail::tests::server;
using tcptrail::tests::walk;

namespace {

constexpr uint64_t epoch = 1'700'000'000 * second_ns;  // wall clock at boot
const Kernel kernel{250, {"NOT_SPECIFIED", "", "NO_SOCKET"}};

constexpr uint8_t est = tcp_established, syn = tcp_syn_sent, rcv = tcp_syn_recv, fw1 = tcp_fin_wait1,
                  fw2 = tcp_fin_wait2, cw = tcp_close_wait, la = tcp_last_ack, closing = tcp_closing,
                  done = tcp_close;

using Steps = std::vector<std::pair<int, uint64_t>>;

Steps timeline_of(const Connection& c) {
    Steps steps;
    for (size_t i = 0; i < c.timeline_size; ++i)
        steps.emplace_back(c.timeline[i].state, c.timeline[i].at_us);
    return steps;
}

}  // namespace

TEST_CASE("connection: times of a client", "[unit]") {
    auto record = client({syn, est, fw1, fw2, done});
    record.flags = TCPTRAIL_RECORD_FIN_RECEIVED;
    record.birth.syn_retransmits = 1;
    record.details.retransmit_first_ns = record.birth.opened_ns + 500'000;
    record.details.retransmit_last_ns = record.birth.opened_ns + 2'000'999;
    const Connection c = connection_of(record, kernel, epoch);
    CHECK(c.kind == Kind::closed);
    CHECK(c.cookie == 77);
    CHECK(c.birth_ns == 100 * second_ns);
    CHECK(c.role == Role::client);
    CHECK(c.opened_unix_nanos == epoch + 100 * second_ns);
    CHECK(c.established_unix_nanos == epoch + 100 * second_ns + 1'000'000);
    CHECK(c.ended_unix_nanos == epoch + 103 * second_ns);
    CHECK(c.connect_us == 1000u);
    CHECK(c.lifetime_us == 2'999'000u);
    CHECK_FALSE(c.accept_wait_us);
    CHECK(c.retransmit_first_us == 500u);
    CHECK(c.retransmit_last_us == 2000u);
    CHECK_FALSE(c.reset_us);
    CHECK(c.syn_retransmits == 1u);
    CHECK_FALSE(c.synack_retransmits);
    CHECK(timeline_of(c) == Steps{{syn, 0}, {est, 1000}, {fw1, 2000}, {fw2, 3000}, {done, 3'000'000}});
    CHECK(c.state == fw2);
    CHECK(c.partial == 0);
}

TEST_CASE("connection: how long it waited for accept()", "[unit]") {
    auto record = server({rcv, est, cw, la, done});
    CHECK_FALSE(connection_of(record, kernel, epoch).accept_wait_us);
    const uint64_t established_ns = record.birth.opened_ns + 1'000'000;
    record.birth.accepted_ns = established_ns + 500'000'999;
    CHECK(connection_of(record, kernel, epoch).accept_wait_us == 500'000u);
    SECTION("before it was established: Fast Open") {
        record.birth.accepted_ns = established_ns - 1;
        CHECK_FALSE(connection_of(record, kernel, epoch).accept_wait_us);
    }
    SECTION("open before the capture: not known since when") {
        record.birth.flags = 0;
        CHECK_FALSE(connection_of(record, kernel, epoch).accept_wait_us);
    }
}

TEST_CASE("connection: an attempt that ended before a SYN was sent", "[unit]") {
    struct Failure {
        int error;
        Outcome outcome;
    };
    for (const auto [error, outcome] :
         {Failure{ENETUNREACH, Outcome::network_unreachable},
          Failure{EHOSTUNREACH, Outcome::host_unreachable}, Failure{EACCES, Outcome::denied},
          Failure{EPERM, Outcome::denied}, Failure{EADDRNOTAVAIL, Outcome::no_local_port},
          Failure{EINVAL, Outcome::other}}) {
        auto record = make_record(TCPTRAIL_ROLE_CLIENT);
        record.flags = TCPTRAIL_RECORD_NO_SYN;
        record.ended_ns = record.birth.opened_ns;
        record.socket = {};
        record.birth.state = done;
        record.birth.reported_error = static_cast<uint16_t>(error);
        const Connection c = connection_of(record, kernel, epoch);
        INFO(error);
        CHECK(c.outcome == outcome);
        CHECK(c.end == End::not_established);
        CHECK(c.error_number == static_cast<uint32_t>(error));
        CHECK_FALSE(c.traffic);
        CHECK_FALSE(c.connect_us);
        CHECK(c.lifetime_us == 0u);
        CHECK_FALSE(c.syn_retransmits);
    }
}

// The child is made when the SYN-ACK is acknowledged; the attempt began with the SYN-ACK.
TEST_CASE("connection: times of a server count from its SYN-ACK", "[unit]") {
    auto record = server({rcv, est, cw, la, done});
    tcptrail::tests::establish(record, 20'000);
    const uint64_t established_ns = record.birth.opened_ns + 20'000;
    SECTION("measured") {
        record.birth.synack_rtt_us = 300;
        const Connection c = connection_of(record, kernel, epoch);
        const uint64_t opened = established_ns - 300'000;
        CHECK(c.opened_unix_nanos == epoch + opened);
        CHECK(c.connect_us == 300u);
        CHECK(c.lifetime_us == (record.ended_ns - established_ns) / 1000);
        CHECK(timeline_of(c) == Steps{{rcv, 0}, {est, 300}, {cw, 2280}, {la, 3280}, {done, 3'000'280}});
        CHECK(c.synack_retransmits == 0u);
        CHECK_FALSE(c.syn_retransmits);
        CHECK(c.birth_ns == 100 * second_ns);  // names the attempt: not changed by a measurement
    }
    SECTION("not measured: the SYN-ACK was sent more than once") {
        record.birth.syn_retransmits = 2;
        const Connection c = connection_of(record, kernel, epoch);
        CHECK(c.opened_unix_nanos == epoch + 100 * second_ns);
        CHECK_FALSE(c.connect_us);
        CHECK(c.synack_retransmits == 2u);
        CHECK(timeline_of(c)[1] == std::pair<int, uint64_t>{est, 20});
    }
    SECTION("shorter than the child's own way: it cannot have been opened after the child was there") {
        record.birth.synack_rtt_us = 5;
        const Connection c = connection_of(record, kernel, epoch);
        CHECK(c.opened_unix_nanos == epoch + 100 * second_ns);
        CHECK(c.connect_us == 5u);
    }
}

TEST_CASE("connection: an attempt that failed", "[unit]") {
    auto record = client({syn, done});
    record.socket.error = ETIMEDOUT;
    record.trouble.retransmits = 6;
    const Connection c = connection_of(record, kernel, epoch);
    CHECK(c.outcome == Outcome::timed_out);
    CHECK(c.end == End::not_established);
    CHECK(c.error_number == static_cast<uint32_t>(ETIMEDOUT));
    CHECK_FALSE(c.established_unix_nanos);
    CHECK_FALSE(c.connect_us);
    CHECK(c.lifetime_us == 3'000'000u);  // opened to end
    CHECK(c.syn_retransmits == 6u);
    CHECK(c.state == syn);
    REQUIRE(c.traffic);
    CHECK_FALSE(c.traffic->send_queue_bytes);
    CHECK_FALSE(c.traffic->receive_queue_bytes);
    CHECK_FALSE(c.idle_us);
}

// What was not seen is absent, never 0.
TEST_CASE("connection: began before the capture", "[unit]") {
    auto record = make_record(TCPTRAIL_ROLE_SERVER);
    record.birth.flags = TCPTRAIL_BIRTH_ADOPTED;
    record.birth.opened_ns = 0;
    record.birth.owner_source = TCPTRAIL_OWNER_SCAN;
    record.birth.owner.actor.uid = ~0u;
    record.birth.state = la;
    record.birth.timeline_len = 2;  // with no beginning to count from
    record.birth.timeline[0] = (101 * second_ns) << 4 | la;
    record.birth.timeline[1] = (103 * second_ns) << 4 | done;
    record.details.retransmit_first_ns = record.details.retransmit_last_ns = 102 * second_ns;
    const Connection c = connection_of(record, kernel, epoch);
    CHECK(c.partial == began_before_capture);
    CHECK_FALSE(c.opened_unix_nanos);
    CHECK_FALSE(c.established_unix_nanos);
    CHECK(c.ended_unix_nanos == epoch + 103 * second_ns);
    CHECK_FALSE(c.connect_us);
    CHECK_FALSE(c.lifetime_us);
    CHECK_FALSE(c.retransmit_first_us);
    CHECK_FALSE(c.retransmit_last_us);
    CHECK_FALSE(c.syn_retransmits);
    CHECK_FALSE(c.synack_retransmits);
    CHECK(c.timeline_size == 0);
    CHECK(c.outcome == Outcome::established);
    CHECK(c.end == End::remote_close);
    CHECK(c.owner.source == OwnerSource::scan);
    CHECK_FALSE(c.owner.uid);
    CHECK(c.traffic);
}

TEST_CASE("connection: its birth was missed", "[unit]") {
    auto record = make_record(TCPTRAIL_ROLE_UNKNOWN);
    record.birth.flags = TCPTRAIL_BIRTH_MISSED;
    record.birth.opened_ns = 0;
    record.birth.owner = {};
    record.birth.owner.cgroup_id = 4711;
    record.birth.state = cw;
    record.socket.error = ECONNRESET;
    const Connection c = connection_of(record, kernel, epoch);
    CHECK(c.partial == (birth_missed | owner_unknown));
    CHECK(c.role == Role::unspecified);
    CHECK(c.birth_ns == 0);
    CHECK(c.owner.pid == 0);
    CHECK(c.owner.cgroup_id == 4711);
    CHECK(c.owner.source == OwnerSource::unspecified);
    CHECK_FALSE(c.owner.uid);
    CHECK_FALSE(c.opened_unix_nanos);
    CHECK_FALSE(c.lifetime_us);
    CHECK(c.has_addresses);
    CHECK(c.end == End::remote_reset);
    record.birth.state = syn;  // only a client is ever in SYN_SENT
    CHECK(connection_of(record, kernel, epoch).role == Role::client);
}

TEST_CASE("connection: its end was missed", "[unit]") {
    auto record = client({syn, est});
    record.birth.syn_retransmits = 1;
    record.flags = TCPTRAIL_RECORD_END_MISSED;
    record.socket = {};
    const Connection c = connection_of(record, kernel, epoch);
    CHECK(c.partial == end_missed);
    CHECK(c.outcome == Outcome::established);
    CHECK(c.end == End::unspecified);
    CHECK_FALSE(c.error_number);
    CHECK(c.opened_unix_nanos);
    CHECK(c.connect_us == 1000u);
    CHECK(c.syn_retransmits == 1u);
    CHECK_FALSE(c.ended_unix_nanos);
    CHECK_FALSE(c.lifetime_us);
    CHECK_FALSE(c.idle_us);
    CHECK_FALSE(c.traffic);
    CHECK(timeline_of(c) == Steps{{syn, 0}, {est, 1000}});

    record = client({syn});
    record.flags = TCPTRAIL_RECORD_END_MISSED;
    record.socket = {};
    const Connection pending = connection_of(record, kernel, epoch);
    CHECK(pending.outcome == Outcome::unspecified);
    CHECK_FALSE(pending.syn_retransmits);  // 0 would be a guess
}

TEST_CASE("connection: state changes that were missed are flagged", "[unit]") {
    auto record = client({syn, est, done});
    record.birth.flags = TCPTRAIL_BIRTH_STATES_GAP;
    CHECK(connection_of(record, kernel, epoch).partial == state_changes_missed);
}

TEST_CASE("connection: names end at the NUL or fill their place", "[unit]") {
    auto record = client({syn, est, done});
    std::memcpy(record.birth.owner.actor.name, "sixteen-bytes-nn", TCPTRAIL_NAME_LEN);
    std::memcpy(record.birth.thread_name, "worker\0leftover", TCPTRAIL_NAME_LEN);
    const Connection c = connection_of(record, kernel, epoch);
    CHECK(c.owner.name == "sixteen-bytes-nn");
    CHECK(c.owner.thread_name == "worker");
    CHECK(c.owner.uid == 1000u);
    REQUIRE(c.traffic);
    CHECK(c.traffic->congestion == "cubic");
}

TEST_CASE("connection: an owner that is root has a uid", "[unit]") {
    auto record = client({syn, est, done});
    record.birth.owner.actor.uid = 0;
    CHECK(connection_of(record, kernel, epoch).owner.uid == 0u);
}

TEST_CASE("connection: resets", "[unit]") {
    auto record = client({syn, est, done});
    record.birth.reset_state = est;
    record.birth.reset_ns = record.birth.opened_ns + 5'000'000;
    SECTION("received") {
        record.birth.reset_direction = TCPTRAIL_RESET_RECEIVED;
        const Connection c = connection_of(record, kernel, epoch);
        CHECK(c.reset.direction == ResetDirection::received);
        CHECK(c.reset.state == est);
        CHECK(c.reset.reason.empty());
        CHECK(c.reset_us == 5000u);
    }
    SECTION("sent, with the kernel's reason") {
        record.birth.reset_direction = TCPTRAIL_RESET_SENT;
        record.birth.reset_reason = 2;
        CHECK(connection_of(record, kernel, epoch).reset.reason == "NO_SOCKET");
        record.birth.reset_reason = 0;  // the kernel did not tell: not "NOT_SPECIFIED"
        CHECK(connection_of(record, kernel, epoch).reset.reason.empty());
        record.birth.reset_reason = 3;  // newer than the names
        CHECK(connection_of(record, kernel, epoch).reset.reason.empty());
        record.birth.reset_reason = 0xffff;
        CHECK(connection_of(record, kernel, epoch).reset.reason.empty());
    }
    SECTION("a local abort, where the hook for resets is missing") {
        record.birth.flags = TCPTRAIL_BIRTH_ENDING;
        const Connection c = connection_of(record, kernel, epoch);
        CHECK(c.end == End::local_reset);
        CHECK(c.reset.direction == ResetDirection::sent);
        CHECK(c.reset.state == est);
    }
    SECTION("none") {
        const Connection c = connection_of(record, kernel, epoch);
        CHECK(c.reset.direction == ResetDirection::unspecified);
        CHECK_FALSE(c.reset_us);
    }
}

TEST_CASE("connection: who ended it", "[unit]") {
    const auto ended_by = [](tcptrail_record record) {
        tcptrail::tests::end_by(record, 4321, "closer");
        const Connection c = connection_of(record, kernel, epoch);
        return std::pair(c.end, c.ended_by.pid);
    };
    auto record = client({syn, est, fw1, fw2, done});
    record.flags = TCPTRAIL_RECORD_FIN_RECEIVED;
    CHECK(ended_by(record) == std::pair(End::local_close, 4321u));

    record = client({syn, est, done});
    record.birth.flags = TCPTRAIL_BIRTH_ENDING;
    CHECK(ended_by(record) == std::pair(End::local_reset, 4321u));

    record = client({syn, est, done});
    record.socket.error = ECONNABORTED;
    CHECK(ended_by(record) == std::pair(End::killed, 4321u));

    // No call of this side ended these.
    CHECK(ended_by(client({syn, est, cw, la, done})) == std::pair(End::remote_close, 0u));
    record = client({syn, est, fw1, done});
    record.birth.reset_direction = TCPTRAIL_RESET_RECEIVED;
    record.birth.reset_state = fw1;
    record.socket.error = ECONNRESET;
    CHECK(ended_by(record) == std::pair(End::remote_reset, 0u));
}

TEST_CASE("connection: a timeline as long as the record holds", "[unit]") {
    const auto record = client({syn, rcv, est, fw1, closing, done});
    REQUIRE(record.birth.timeline_len == TCPTRAIL_TIMELINE_LEN);
    const Connection c = connection_of(record, kernel, epoch);
    CHECK(c.timeline_size == TCPTRAIL_TIMELINE_LEN + 2);
    CHECK(c.timeline[5].state == done);
    CHECK(c.timeline[5].at_us == 3'000'000);
}

// A year of nanoseconds, shifted by four bits, still fits.
TEST_CASE("connection: a long life", "[unit]") {
    auto record = client({syn, est, done});
    constexpr uint64_t year_ns = 366ull * 86400 * second_ns;
    record.birth.timeline[1] = (year_ns - 1000) << 4 | fw1;
    record.birth.timeline_len = 2;
    record.ended_ns = record.birth.opened_ns + year_ns;
    const Connection c = connection_of(record, kernel, epoch);
    CHECK(c.timeline[2].at_us == year_ns / 1000 - 1);
    CHECK(c.timeline[3].at_us == year_ns / 1000);
    CHECK(c.lifetime_us == (year_ns - 1'000'000) / 1000);
}

// The wall clock may stand before the boot's: a machine without a battery. Then the offset is "negative".
TEST_CASE("connection: wall clock by modular addition", "[unit]") {
    const auto record = client({syn, est, done});
    const uint64_t offset = 0 - 50 * second_ns;
    CHECK(connection_of(record, kernel, offset).opened_unix_nanos == 50 * second_ns);
}
