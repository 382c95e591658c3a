// SPDX-License-Identifier: Apache-2.0
//
// Single fields of events: what they hold at their edges, and that the schema's names are the stages'.
#include <arpa/inet.h>
#include <google/protobuf/util/message_differencer.h>

#include <cerrno>
#include <cstring>
#include <regex>
#include <set>
#include <string>
#include <utility>

#include "tests/unit/events.h"

using namespace tcptrail;
using namespace tcptrail::tests;

namespace {

void set_addresses(tcptrail_record& record, int family, const char* local, const char* remote) {
    uint8_t here[16]{}, there[16]{};
    REQUIRE(inet_pton(family, local, here) == 1);
    REQUIRE(inet_pton(family, remote, there) == 1);
    tcptrail::tests::set_addresses(record.birth, family, here, there);
}

// The other end of the same connection.
tcptrail_record mirrored(tcptrail_record record) {
    tcptrail_birth& birth = record.birth;
    std::swap(birth.local, birth.remote);
    std::swap(birth.local_rest, birth.remote_rest);
    std::swap(birth.local_port, birth.remote_port);
    record.birth.role = TCPTRAIL_ROLE_SERVER;
    return record;
}

}  // namespace

TEST_CASE("event: addresses of all kinds", "[unit]") {
    auto record = closed_client();
    SECTION("IPv6 link-local, with its zone") {
        set_addresses(record, AF_INET6, "fe80::1", "fe80::2");
        record.birth.ifindex = 4;
        const auto event = event_of(record);
        CHECK(event.family() == v1::FAMILY_IPV6);
        CHECK(event.local_address() == "fe80::1%4");
        CHECK(event.remote_address() == "fe80::2%4");
        CHECK(event.remote_scope() == v1::SCOPE_LINK_LOCAL);
    }
    SECTION("IPv6") {
        set_addresses(record, AF_INET6, "2001:db8::1", "::1");
        record.birth.ifindex = 4;
        const auto event = event_of(record);
        CHECK(event.family() == v1::FAMILY_IPV6);
        CHECK(event.local_address() == "2001:db8::1");
        CHECK(event.remote_address() == "::1");
        CHECK(event.remote_scope() == v1::SCOPE_LOOPBACK);
    }
    SECTION("IPv4-mapped IPv6: the event is that of IPv4") {
        const auto plain = event_of(record);
        set_addresses(record, AF_INET6, "::ffff:10.0.0.1", "::ffff:10.0.0.2");
        CHECK(event_of(record).SerializeAsString() == plain.SerializeAsString());
    }
    SECTION("not known") {
        constexpr uint8_t none[16]{};
        tcptrail::tests::set_addresses(record.birth, 0, none, none);
        record.birth.local_port = record.birth.remote_port = 0;
        const auto event = event_of(record);
        CHECK(event.family() == v1::FAMILY_UNSPECIFIED);
        CHECK(event.local_address().empty());
        CHECK(event.remote_address().empty());
        CHECK(event.remote_scope() == v1::SCOPE_UNSPECIFIED);
    }
}

TEST_CASE("event: both ends of a connection have one key", "[unit]") {
    struct Pair {
        int family;
        const char *local, *remote;
        uint16_t local_port, remote_port;
    };
    std::set<std::string> keys;
    const Pair pairs[] = {
        {AF_INET, "10.0.0.1", "10.0.0.2", 40000, 80},   {AF_INET, "10.0.0.1", "10.0.0.2", 80, 40000},
        {AF_INET, "127.0.0.1", "127.0.0.1", 9, 10},     {AF_INET, "127.0.0.1", "127.0.0.1", 9, 100},
        {AF_INET, "10.0.0.1", "10.0.0.10", 80, 80},     {AF_INET, "1.1.1.1", "1.1.1.11", 1, 11},
        {AF_INET6, "2001:db8::1", "2001:db8::2", 1, 2}, {AF_INET6, "::1", "::1", 40000, 80},
        {AF_INET, "127.0.0.1", "127.0.0.1", 7, 7},  // connected to itself
    };
    for (const Pair& pair : pairs) {
        auto record = closed_client();
        set_addresses(record, pair.family, pair.local, pair.remote);
        record.birth.local_port = pair.local_port;
        record.birth.remote_port = pair.remote_port;
        const Message client = to_message(event_of(record)), server = to_message(event_of(mirrored(record)));
        INFO(client.key);
        CHECK(client.key == server.key);
        CHECK(keys.insert(client.key).second);  // no other connection's
    }
    auto record = closed_client(), mapped = mirrored(record);
    set_addresses(mapped, AF_INET6, "::ffff:10.0.0.2", "::ffff:10.0.0.1");
    CHECK(to_message(event_of(mapped)).key == to_message(event_of(record)).key);
}

TEST_CASE("event: the message for Kafka", "[unit]") {
    const auto event = event_of(closed_client());
    const Message message = to_message(event);
    CHECK(message.topic == Topic::connections);
    CHECK(message.key == "10.0.0.1 40000 10.0.0.2 80");
    v1::ConnectionEvent back;
    REQUIRE(back.ParseFromString(message.value));
    CHECK(google::protobuf::util::MessageDifferencer::Equals(back, event));
}

TEST_CASE("event: sequence is contiguous from 1, and nothing stays from the event before", "[unit]") {
    EventEncoder encoder(host);
    CHECK(encoder.last_sequence() == 0);
    const auto rich_record = closed_client();  // the connection's views point into it
    const auto rich = connections::connection_of(rich_record, kernel, boot_to_unix);
    auto bare_record = make_record(TCPTRAIL_ROLE_CLIENT);
    walk(bare_record, {2});
    bare_record.flags = TCPTRAIL_RECORD_END_MISSED;
    bare_record.birth.owner = {};
    const auto bare = connections::connection_of(bare_record, kernel, boot_to_unix);
    auto fresh = EventEncoder(host).encode(bare, {}, now);
    for (uint64_t n = 1; n <= 1000; n += 2) {
        REQUIRE(encoder.encode(rich, curl, now).sequence() == n);
        const v1::ConnectionEvent& event = encoder.encode(bare, {}, now);
        REQUIRE(event.sequence() == n + 1);
        REQUIRE(encoder.last_sequence() == n + 1);
        fresh.set_sequence(n + 1);
        REQUIRE(event.SerializeAsString() == fresh.SerializeAsString());
    }
}

TEST_CASE("event: the id names one attempt", "[unit]") {
    const auto id_of = [](const tcptrail_record& record, const context::Host& on = host) {
        return EventEncoder(on)
            .encode(connections::connection_of(record, kernel, boot_to_unix), {}, now)
            .connection_id();
    };
    const auto record = closed_client();
    const std::string id = id_of(record);
    CHECK(std::regex_match(id, std::regex("[0-9a-f]{32}")));

    SECTION("the same in all events of it, whatever else changes") {
        auto later = record;
        later.ended_ns += second_ns;
        later.birth.state = 1;
        later.birth.timeline_len = 2;
        later.birth.synack_rtt_us = 5;
        later.socket = {};
        CHECK(id_of(later) == id);
        context::Host restarted = host;
        restarted.run_id = "another";
        restarted.node = "renamed";
        CHECK(id_of(record, restarted) == id);
    }
    SECTION("another attempt on the same socket, another socket, boot or host: another") {
        auto again = record;
        again.birth.opened_ns += 1;
        auto socket = record;
        socket.birth.cookie += 1;
        context::Host boot = host, machine = host;
        boot.boot_id.back() = '6';
        machine.host_id.back() = '8';
        const std::set<std::string> ids = {id, id_of(again), id_of(socket), id_of(record, boot),
                                           id_of(record, machine)};
        CHECK(ids.size() == 5);
    }
}

TEST_CASE("event: names that hold anything", "[unit]") {
    auto record = closed_client();
    std::memcpy(record.birth.owner.actor.name, "a\xff\xc3(\x1b[31m\n\t", 11);
    std::memcpy(record.birth.thread_name, "\xe2\x82", 3);  // cut in the middle of a character
    record.birth.flags &= ~TCPTRAIL_BIRTH_ENDED_BY_OWNER;
    tcptrail::tests::end_by(record, 1234, "\xf0\x9f\x90\x99\"\\");
    std::memcpy(record.socket.congestion, "\xc0\xaf", 3);  // overlong
    const context::Identity identity{"/tmp/\x80", "/system.slice/a\\x2db\xfe", "", {}};
    const auto event = event_of(record, identity);
    CHECK(event.process().name() == "a\\xff\\xc3(\x1b[31m\n\t");
    CHECK(event.process().thread_name() == "\\xe2\\x82");
    CHECK(event.ended_by().name() == "\xf0\x9f\x90\x99\"\\");
    CHECK(event.process().executable() == "/tmp/\\x80");
    CHECK(event.process().cgroup_path() == "/system.slice/a\\x2db\\xfe");
    CHECK(event.congestion() == "\\xc0\\xaf");
    v1::ConnectionEvent back;
    REQUIRE(back.ParseFromString(to_message(event).value));  // refuses what is not UTF-8
    // In JSON, control characters are escaped.
    const std::string text = json(event);
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(text.find("a\\\\xff\\\\xc3(\\u001b[31m\\n\\t") != std::string::npos);
}

TEST_CASE("event: lengths of one, two and three bytes", "[unit]") {
    for (const size_t length : {1u, 50u, 127u, 128u, 200u, 16383u, 16384u, 70000u}) {
        const std::string path(length, 'p'), odd(length, '\xff');
        CHECK(event_of(closed_client(), {path, path, path, 1}).process().cgroup_path() == path);
        CHECK(event_of(closed_client(), {odd, "", "", {}}).process().executable().size() == 4 * length);
    }
}

TEST_CASE("event: a node's name that is not UTF-8", "[unit]") {
    context::Host odd = host;
    odd.node = "n\xe9";
    EventEncoder encoder(odd);
    const auto record = closed_client();
    const auto connection = connections::connection_of(record, kernel, boot_to_unix);
    for (int i = 0; i < 2; ++i)
        CHECK(encoder.encode(connection, curl, now).node() == "n\\xe9");
}

TEST_CASE("event: an errno without a name has its number", "[unit]") {
    auto record = make_record(TCPTRAIL_ROLE_CLIENT);
    walk(record, {2, 7});
    record.socket.error = 4000;
    const auto event = event_of(record);
    CHECK(event.error_number() == 4000);
    CHECK(event.error().empty());
    CHECK(event.outcome() == v1::OUTCOME_OTHER);
    record.socket.error = 0;
    CHECK_FALSE(event_of(record).has_error_number());
}

TEST_CASE("event: process is absent when nothing is known of it", "[unit]") {
    auto record = closed_client();
    record.birth.owner = {};
    record.birth.flags &= ~TCPTRAIL_BIRTH_ENDED_BY_OWNER;
    const auto event = event_of(record, {});
    CHECK_FALSE(event.has_process());
    CHECK_FALSE(event.has_ended_by());
    CHECK_FALSE(event.has_reset());
    CHECK_FALSE(event.has_kubernetes());
    record.birth.owner.actor.uid = 0;  // of nobody: not root
    CHECK_FALSE(event_of(record, {"", "/a", "", {}}).process().has_uid());
}

// The stages cast their enums to the schema's.
TEST_CASE("event: the stages' enums are the schema's, name by name", "[unit]") {
    using namespace connections;
    const auto name = [](auto printer, auto value) { return printer(static_cast<int>(value)); };
    const auto outcome = [&](Outcome o) {
        return name([](int n) { return v1::Outcome_Name(v1::Outcome(n)); }, o);
    };
    CHECK(outcome(Outcome::unspecified) == "OUTCOME_UNSPECIFIED");
    CHECK(outcome(Outcome::established) == "OUTCOME_ESTABLISHED");
    CHECK(outcome(Outcome::refused) == "OUTCOME_REFUSED");
    CHECK(outcome(Outcome::timed_out) == "OUTCOME_TIMED_OUT");
    CHECK(outcome(Outcome::host_unreachable) == "OUTCOME_HOST_UNREACHABLE");
    CHECK(outcome(Outcome::network_unreachable) == "OUTCOME_NETWORK_UNREACHABLE");
    CHECK(outcome(Outcome::abandoned) == "OUTCOME_ABANDONED");
    CHECK(outcome(Outcome::no_local_port) == "OUTCOME_NO_LOCAL_PORT");
    CHECK(outcome(Outcome::denied) == "OUTCOME_DENIED");
    CHECK(outcome(Outcome::other) == "OUTCOME_OTHER");

    const auto end = [&](End e) { return name([](int n) { return v1::End_Name(v1::End(n)); }, e); };
    CHECK(end(End::local_close) == "END_LOCAL_CLOSE");
    CHECK(end(End::remote_close) == "END_REMOTE_CLOSE");
    CHECK(end(End::simultaneous_close) == "END_SIMULTANEOUS_CLOSE");
    CHECK(end(End::local_reset) == "END_LOCAL_RESET");
    CHECK(end(End::remote_reset) == "END_REMOTE_RESET");
    CHECK(end(End::retransmit_timeout) == "END_RETRANSMIT_TIMEOUT");
    CHECK(end(End::keepalive_timeout) == "END_KEEPALIVE_TIMEOUT");
    CHECK(end(End::killed) == "END_KILLED");
    CHECK(end(End::not_established) == "END_NOT_ESTABLISHED");

    const auto state = [&](TcpState s) {
        return name([](int n) { return v1::State_Name(v1::State(n)); }, s);
    };
    CHECK(state(tcp_established) == "STATE_ESTABLISHED");
    CHECK(state(tcp_syn_sent) == "STATE_SYN_SENT");
    CHECK(state(tcp_syn_recv) == "STATE_SYN_RECV");
    CHECK(state(tcp_fin_wait1) == "STATE_FIN_WAIT1");
    CHECK(state(tcp_fin_wait2) == "STATE_FIN_WAIT2");
    CHECK(state(tcp_time_wait) == "STATE_TIME_WAIT");
    CHECK(state(tcp_close) == "STATE_CLOSE");
    CHECK(state(tcp_close_wait) == "STATE_CLOSE_WAIT");
    CHECK(state(tcp_last_ack) == "STATE_LAST_ACK");
    CHECK(state(tcp_listen) == "STATE_LISTEN");
    CHECK(state(tcp_closing) == "STATE_CLOSING");

    const auto source = [&](OwnerSource s) {
        return name([](int n) { return v1::OwnerSource_Name(v1::OwnerSource(n)); }, s);
    };
    CHECK(source(OwnerSource::connect) == "OWNER_SOURCE_CONNECT");
    CHECK(source(OwnerSource::accept) == "OWNER_SOURCE_ACCEPT");
    CHECK(source(OwnerSource::listener) == "OWNER_SOURCE_LISTENER");
    CHECK(source(OwnerSource::scan) == "OWNER_SOURCE_SCAN");

    const auto scope = [&](Scope s) { return name([](int n) { return v1::Scope_Name(v1::Scope(n)); }, s); };
    CHECK(scope(Scope::loopback) == "SCOPE_LOOPBACK");
    CHECK(scope(Scope::link_local) == "SCOPE_LINK_LOCAL");
    CHECK(scope(Scope::private_network) == "SCOPE_PRIVATE");
    CHECK(scope(Scope::public_network) == "SCOPE_PUBLIC");
}

TEST_CASE("event: every reason why a part is absent", "[unit]") {
    connections::Connection c;
    for (int bit = 1; bit <= v1::Partial_MAX; ++bit)
        c.partial |= 1u << bit;
    const auto event = EventEncoder(host).encode(c, {}, now);
    REQUIRE(event.partial_size() == v1::Partial_MAX);
    CHECK(event.partial(0) == v1::PARTIAL_BEGAN_BEFORE_CAPTURE);
    CHECK(event.partial(1) == v1::PARTIAL_BIRTH_MISSED);
    CHECK(event.partial(2) == v1::PARTIAL_END_MISSED);
    CHECK(event.partial(3) == v1::PARTIAL_OWNER_UNKNOWN);
    CHECK(event.partial(4) == v1::PARTIAL_STATE_CHANGES_MISSED);
}
