// SPDX-License-Identifier: Apache-2.0
#include "agent/connections/classify.h"

#include <cerrno>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/unit/records.h"

using namespace tcptrail;
using namespace tcptrail::connections;
using tcptrail::tests::client;
using tcptrail::tests::make_record;
using tcptrail::tests::walk;

namespace {

struct Verdict {
    Outcome outcome;
    End end;
    int error;

    bool operator==(const Verdict&) const = default;
};

Verdict judge(const tcptrail_record& record) {
    const Facts facts = facts_of(record);
    const Outcome outcome = outcome_of(facts);
    const End end = end_of(facts);
    return {outcome, end, error_of(facts, outcome, end)};
}

constexpr uint8_t est = tcp_established, syn = tcp_syn_sent, fw1 = tcp_fin_wait1, fw2 = tcp_fin_wait2,
                  cw = tcp_close_wait, la = tcp_last_ack, closing = tcp_closing, done = tcp_close,
                  rcv = tcp_syn_recv;

}  // namespace

TEST_CASE("classify: attempts that were not established", "[unit]") {
    auto record = client({syn, done});
    SECTION("refused") {
        record.socket.error = ECONNREFUSED;
        record.birth.reset_direction = TCPTRAIL_RESET_RECEIVED;
        record.birth.reset_state = syn;
        CHECK(judge(record) == Verdict{Outcome::refused, End::not_established, ECONNREFUSED});
    }
    SECTION("the kernel gave up") {
        record.socket.error = ETIMEDOUT;
        CHECK(judge(record) == Verdict{Outcome::timed_out, End::not_established, ETIMEDOUT});
    }
    SECTION("unreachable") {
        record.socket.error = EHOSTUNREACH;
        CHECK(judge(record) == Verdict{Outcome::host_unreachable, End::not_established, EHOSTUNREACH});
        record.socket.error = ENETUNREACH;
        CHECK(judge(record) == Verdict{Outcome::network_unreachable, End::not_established, ENETUNREACH});
    }
    SECTION("policy") {
        record.socket.error = EPERM;
        CHECK(judge(record) == Verdict{Outcome::denied, End::not_established, EPERM});
    }
    SECTION("any other errno is told as it is") {
        record.socket.error = EPROTO;
        CHECK(judge(record) == Verdict{Outcome::other, End::not_established, EPROTO});
    }
    SECTION("the application gave up: no errno") {
        record.socket.shutdown = 3;
        CHECK(judge(record) == Verdict{Outcome::abandoned, End::not_established, 0});
    }
    SECTION("the application fetched the errno before it closed") {
        record.birth.reported_error = EHOSTUNREACH;
        record.socket.shutdown = 3;
        CHECK(judge(record).outcome == Outcome::host_unreachable);
    }
    SECTION("given up by a disconnect, which is not a close()") {
        record.birth.flags |= TCPTRAIL_BIRTH_ENDED_BY_OWNER;
        CHECK(judge(record) == Verdict{Outcome::abandoned, End::not_established, 0});
    }
    SECTION("no errno, but nobody gave up: it was fetched before the end") {
        CHECK(judge(record) == Verdict{Outcome::other, End::not_established, 0});
        record.birth.reported_error = ETIMEDOUT;
        CHECK(judge(record) == Verdict{Outcome::timed_out, End::not_established, ETIMEDOUT});
    }
    SECTION("no port to send a SYN from") {
        record.socket.segments_out = 0;
        record.birth.local_port = 0;
        CHECK(judge(record) == Verdict{Outcome::no_local_port, End::not_established, EADDRNOTAVAIL});
    }
    SECTION("closed before a deferred SYN (TCP_FASTOPEN_CONNECT) left is no lack of ports") {
        record.socket.segments_out = 0;
        record.socket.shutdown = 3;
        CHECK(judge(record).outcome == Outcome::abandoned);
    }
}

TEST_CASE("classify: the first FIN says who ended it", "[unit]") {
    SECTION("local: the peer's FIN ends FIN_WAIT2") {
        auto record = client({syn, est, fw1, fw2, done});
        record.flags = TCPTRAIL_RECORD_FIN_RECEIVED;
        CHECK(judge(record) == Verdict{Outcome::established, End::local_close, 0});
    }
    SECTION("local: an orphan leaves FIN_WAIT2 to TIME_WAIT's small socket") {
        auto record = client({syn, est, fw1, fw2, done});
        record.flags = TCPTRAIL_RECORD_ORPHAN;
        CHECK(judge(record) == Verdict{Outcome::established, End::local_close, 0});
    }
    SECTION("remote") {
        CHECK(judge(client({syn, est, cw, la, done})) == Verdict{Outcome::established, End::remote_close, 0});
    }
    SECTION("both at once") {
        CHECK(judge(client({syn, est, fw1, closing, done})).end == End::simultaneous_close);
    }
    SECTION("an error that is pending from before does not change an orderly end") {
        auto record = client({syn, est, cw, la, done});
        record.socket.error = EHOSTUNREACH;
        CHECK(judge(record) == Verdict{Outcome::established, End::remote_close, 0});
    }
    SECTION("a connection that began before the capture has only its last state") {
        auto record = make_record(TCPTRAIL_ROLE_CLIENT);
        record.birth.opened_ns = 0;
        record.birth.flags = TCPTRAIL_BIRTH_ADOPTED;
        walk(record, {la, done});
        CHECK(judge(record) == Verdict{Outcome::established, End::remote_close, 0});
    }
}

TEST_CASE("classify: resets, timeouts and kills", "[unit]") {
    SECTION("received") {
        auto record = client({syn, est, done});
        record.birth.reset_direction = TCPTRAIL_RESET_RECEIVED;
        record.birth.reset_state = est;
        record.socket.error = ECONNRESET;
        CHECK(judge(record) == Verdict{Outcome::established, End::remote_reset, ECONNRESET});
    }
    SECTION("received after the peer's FIN: EPIPE, and the reset wins") {
        auto record = client({syn, est, cw, done});
        record.birth.reset_direction = TCPTRAIL_RESET_RECEIVED;
        record.birth.reset_state = cw;
        record.socket.error = EPIPE;
        CHECK(judge(record) == Verdict{Outcome::established, End::remote_reset, EPIPE});
    }
    SECTION("received while the hook was not there") {
        auto record = client({syn, est, done});
        record.socket.error = ECONNRESET;
        CHECK(judge(record).end == End::remote_reset);
    }
    SECTION("local abort") {
        auto record = client({syn, est, done});
        record.birth.flags = TCPTRAIL_BIRTH_ENDING;
        record.birth.reset_direction = TCPTRAIL_RESET_SENT;
        record.birth.reset_state = est;
        CHECK(judge(record) == Verdict{Outcome::established, End::local_reset, 0});
        record.birth.reset_direction = TCPTRAIL_RESET_NONE;  // the hook was not there
        CHECK(judge(record).end == End::local_reset);
    }
    SECTION("a reset sent in an earlier state did not end it") {
        auto record = client({syn, est, fw1, fw2, done});
        record.flags = TCPTRAIL_RECORD_FIN_RECEIVED;
        record.birth.reset_direction = TCPTRAIL_RESET_SENT;
        record.birth.reset_state = est;
        CHECK(judge(record).end == End::local_close);
    }
    SECTION("data was never acknowledged") {
        auto record = client({syn, est, done});
        record.socket.error = ETIMEDOUT;
        record.trouble.send_queue = 100;
        CHECK(judge(record) == Verdict{Outcome::established, End::retransmit_timeout, ETIMEDOUT});
        record.socket.error = EHOSTUNREACH;  // an ICMP came meanwhile
        CHECK(judge(record) == Verdict{Outcome::established, End::retransmit_timeout, EHOSTUNREACH});
    }
    SECTION("nothing was outstanding: the probes were not answered, and a reset went out") {
        auto record = client({syn, est, done});
        record.socket.error = ETIMEDOUT;
        record.birth.reset_direction = TCPTRAIL_RESET_SENT;
        record.birth.reset_state = est;
        CHECK(judge(record) == Verdict{Outcome::established, End::keepalive_timeout, ETIMEDOUT});
    }
    SECTION("killed") {
        auto record = client({syn, est, done});
        record.socket.error = ECONNABORTED;
        record.birth.reset_direction = TCPTRAIL_RESET_SENT;
        record.birth.reset_state = est;
        CHECK(judge(record) == Verdict{Outcome::established, End::killed, ECONNABORTED});
    }
    SECTION("a server's child that never was established") {
        auto record = make_record(TCPTRAIL_ROLE_SERVER);
        walk(record, {rcv, done});
        CHECK(judge(record) == Verdict{Outcome::other, End::not_established, 0});
    }
}

TEST_CASE("classify: what was not seen is not told", "[unit]") {
    auto record = client({syn});
    record.flags = TCPTRAIL_RECORD_END_MISSED;
    record.socket = {};
    CHECK(judge(record) == Verdict{Outcome::unspecified, End::unspecified, 0});
    record = client({syn, est});
    record.flags = TCPTRAIL_RECORD_END_MISSED;
    record.socket = {};
    CHECK(judge(record) == Verdict{Outcome::established, End::unspecified, 0});
}

// The full product: whatever the kernel tells, outcome and end fit together.
TEST_CASE("classify: every state with every event", "[unit]") {
    const std::vector<std::vector<uint8_t>> lives = {
        {syn},
        {rcv},
        {syn, est},
        {rcv, est},
        {syn, rcv, est},
        {syn, est, fw1},
        {syn, est, fw1, fw2},
        {syn, est, fw1, closing},
        {syn, est, cw},
        {syn, est, cw, la},
        {},
        {est},
        {fw2},
        {cw},
        {la},
        {closing},
    };
    const int errors[] = {0,           ECONNRESET, EPIPE,       ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH,
                          ENETUNREACH, EACCES,     ECONNABORTED};
    for (const auto& life : lives)
        for (const int error : errors)
            for (uint8_t reset = 0; reset <= 2; ++reset)
                for (unsigned bits = 0; bits < 64; ++bits)
                    for (const uint8_t role :
                         {TCPTRAIL_ROLE_UNKNOWN, TCPTRAIL_ROLE_CLIENT, TCPTRAIL_ROLE_SERVER}) {
                        auto record = make_record(role);
                        for (const uint8_t state : life)
                            walk(record, {state});
                        if (life.empty() || life[0] == est || life[0] > rcv) record.birth.flags = 0;
                        record.socket.error = static_cast<uint16_t>(error);
                        record.birth.reset_direction = reset;
                        record.birth.reset_state = record.birth.state;
                        record.trouble.send_queue = bits & 1;
                        record.flags = (bits & 2 ? TCPTRAIL_RECORD_ORPHAN : 0) |
                                       (bits & 4 ? TCPTRAIL_RECORD_FIN_RECEIVED : 0) |
                                       (bits & 8 ? TCPTRAIL_RECORD_END_MISSED : 0);
                        if (bits & 16) record.birth.flags |= TCPTRAIL_BIRTH_ENDING;
                        record.socket.segments_out = bits & 32 ? 1 : 0;
                        const Verdict v = judge(record);
                        const bool gone = bits & 8;
                        INFO("state " << int(record.birth.state) << " error " << error << " reset "
                                      << int(reset) << " bits " << bits);
                        if (gone) {
                            REQUIRE(v.end == End::unspecified);
                        } else {
                            REQUIRE((v.outcome == Outcome::established) == (v.end != End::not_established));
                            REQUIRE(v.outcome != Outcome::unspecified);
                        }
                        if (v.end == End::local_close || v.end == End::remote_close ||
                            v.end == End::simultaneous_close)
                            REQUIRE(v.error == 0);
                        if (v.outcome == Outcome::abandoned) REQUIRE(v.error == 0);
                    }
}
