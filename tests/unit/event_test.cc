// SPDX-License-Identifier: Apache-2.0
//
// From a record of the kernel side to the message of the stream: whole events, compared with golden ones.
#include "agent/encode/event.h"

#include <arpa/inet.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>

#include <cerrno>
#include <cstring>
#include <regex>
#include <set>
#include <string>
#include <utility>

#include "agent/connections/connections.h"
#include "tests/catch.h"
#include "tests/unit/records.h"

using namespace tcptrail;
using namespace tcptrail::encode;
using tcptrail::tests::make_record;
using tcptrail::tests::second_ns;
using tcptrail::tests::walk;

namespace {

constexpr uint64_t boot_to_unix = 1'700'000'000 * second_ns;
constexpr uint64_t now = boot_to_unix + 103 * second_ns + 50'000'000;
const connections::Kernel kernel{250, {"NOT_SPECIFIED", "NO_SOCKET", "TCP_RFC7323_PAWS"}};
const context::Host host{"0a1b2c3d4e5f60718293a4b5c6d7e8f9", "node-1", "11111111-2222-4333-8444-555555555555",
                         "99999999-8888-4777-8666-555555555555", "6.12.0"};
const context::Identity curl{"/usr/bin/curl", "/user.slice", "", 1000};

v1::ConnectionEvent event_of(const tcptrail_record& record, const context::Identity& identity = curl) {
    const auto connection = connections::connection_of(record, kernel, boot_to_unix);
    const auto event = EventEncoder(host).encode(connection, identity, now);
    // What is written without protobuf is what protobuf would write, to the byte.
    EventEncoder encoder(host);
    const Message& written = encoder.encode_message(connection, identity, now);
    const Message expected = to_message(event);
    CHECK(written.value == expected.value);
    CHECK(written.key == expected.key);
    return event;
}

std::string json(const v1::ConnectionEvent& event) {
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    options.add_whitespace = true;
    std::string text;
    REQUIRE(google::protobuf::util::MessageToJsonString(event, &text, options).ok());
    return text;
}

// Every field, and which are present: an optional 0 is not an absent one. The identity of host and run,
// which all have, is added to `golden`.
std::string differences(const v1::ConnectionEvent& event, const std::string& golden) {
    v1::ConnectionEvent expected;
    const auto parsed = google::protobuf::util::JsonStringToMessage(golden, &expected);
    if (!parsed.ok()) return parsed.ToString();
    expected.set_host_id("0a1b2c3d4e5f60718293a4b5c6d7e8f9");
    expected.set_node("node-1");
    expected.set_boot_id("11111111-2222-4333-8444-555555555555");
    expected.set_run_id("99999999-8888-4777-8666-555555555555");
    expected.set_sequence(1);
    expected.set_emitted_unix_nanos(1700000103050000000);
    std::string report;
    google::protobuf::util::MessageDifferencer differencer;
    differencer.ReportDifferencesToString(&report);
    return differencer.Compare(expected, event) ? "" : report + json(event);
}

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

// 100 bytes sent and 50 received, with everything that a socket measures.
tcptrail_socket measured_socket() {
    tcptrail_socket s{};
    s.bytes_sent = 130;
    s.bytes_acked = 102;
    s.bytes_received = 51;
    s.rate_delivered = 1'250'000;  // with mss and the interval: 1,250,000 bytes in a second
    s.rate_interval_us = 1'448'000'000;
    s.segments_out = 8;
    s.segments_in = 7;
    s.data_segments_out = 3;
    s.data_segments_in = 2;
    s.srtt_us = 8004;
    s.mdev_us = 2002;
    s.rtt_min_us = 900;
    s.receive_rtt_us = 16000;
    s.cwnd = 10;
    s.ssthresh = 7;
    s.mss = 1448;
    s.quiet_jiffies = 25;
    s.keepalive_idle_jiffies = 7200 * 250;
    s.shutdown = 3;
    std::strcpy(s.congestion, "bbr");
    return s;
}

tcptrail_trouble measured_trouble() {
    tcptrail_trouble t{};
    t.bytes_retransmitted = 30;
    t.retransmits = 2;
    t.rto_count = 1;
    t.lost = 1;
    t.out_of_order_in = 1;
    t.chrono_jiffies[0] = 10;
    t.chrono_jiffies[1] = 5;
    return t;
}

tcptrail_record closed_client() {
    auto record = make_record(TCPTRAIL_ROLE_CLIENT);
    walk(record, {2, 1, 4, 5, 7});
    record.flags = TCPTRAIL_RECORD_FIN_RECEIVED | TCPTRAIL_RECORD_HAS_RTO_COUNT | TCPTRAIL_RECORD_KEEPALIVE |
                   TCPTRAIL_RECORD_NODELAY;
    record.socket = measured_socket();
    record.trouble = measured_trouble();
    record.birth.syn_retransmits = 1;
    record.details.retransmit_first_ns = record.birth.opened_ns + 400'000;
    record.details.retransmit_last_ns = record.birth.opened_ns + 1'500'000;
    record.birth.flags |= TCPTRAIL_BIRTH_ENDED_BY_OWNER;
    std::strcpy(record.birth.thread_name, "resolver");
    return record;
}

}  // namespace

TEST_CASE("event: a client that closed first", "[unit]") {
    CHECK(differences(event_of(closed_client()), R"({
        "kind": "EVENT_KIND_CLOSED", "connection_id": "75023dacc52a000000004d174876e800", "role": "ROLE_CLIENT",
        "family": "FAMILY_IPV4", "local_address": "10.0.0.1", "local_port": 40000,
        "remote_address": "10.0.0.2", "remote_port": 80, "remote_scope": "SCOPE_PRIVATE", "netns": 4026531840,
        "process": {"pid": 1234, "name": "curl", "thread_name": "resolver", "executable": "/usr/bin/curl",
                    "uid": 1000, "cgroup_path": "/user.slice", "source": "OWNER_SOURCE_CONNECT"},
        "state": "STATE_FIN_WAIT2", "outcome": "OUTCOME_ESTABLISHED", "end": "END_LOCAL_CLOSE",
        "ended_by": {"pid": 1234, "name": "curl"},
        "opened_unix_nanos": "1700000100000000000", "established_unix_nanos": "1700000100001000000",
        "ended_unix_nanos": "1700000103000000000",
        "connect_us": "1000", "lifetime_us": "2999000", "idle_us": "100000",
        "timeline": [{"state": "STATE_SYN_SENT"}, {"state": "STATE_ESTABLISHED", "at_us": "1000"},
                     {"state": "STATE_FIN_WAIT1", "at_us": "2000"}, {"state": "STATE_FIN_WAIT2", "at_us": "3000"},
                     {"state": "STATE_CLOSE", "at_us": "3000000"}],
        "retransmit_first_us": "400", "retransmit_last_us": "1500",
        "bytes_sent": "130", "bytes_acked": "100", "bytes_received": "50",
        "segments_out": "8", "segments_in": "7", "data_segments_out": "3", "data_segments_in": "2",
        "fast_retransmits": 0, "timeout_retransmits": 0, "probe_retransmits": 0, "fin_retransmits": 0,
        "retransmits": 2, "syn_retransmits": 1, "rto_count": 1, "bytes_retransmitted": "30",
        "lost": 1, "reordering": 0, "dsack_duplicates": 0, "out_of_order_in": 1,
        "rtt_us": 1000, "rtt_min_us": 900, "rtt_var_us": 500, "receive_rtt_us": 2000,
        "congestion": "bbr", "cwnd": 10, "ssthresh": 7, "mss": 1448, "delivery_rate_bps": "10000000",
        "busy_us": "60000", "receive_window_limited_us": "20000", "send_buffer_limited_us": "0",
        "send_queue_bytes": 0, "receive_queue_bytes": 0,
        "fast_open": false, "keepalive": true, "keepalive_idle_secs": 7200, "mptcp": false, "nodelay": true
    })") == "");
}

TEST_CASE("event: a server in a container", "[unit]") {
    auto record = make_record(TCPTRAIL_ROLE_SERVER);
    walk(record, {3, 1, 8, 9, 7});
    record.birth.synack_rtt_us = 1200;
    record.flags = TCPTRAIL_RECORD_FIN_RECEIVED;
    record.socket = measured_socket();
    record.trouble = measured_trouble();
    record.socket.bytes_acked = 101;
    const std::string path =
        "/kubepods/pod1/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const context::Identity nginx{"/usr/sbin/nginx",
                                  path,
                                  std::string_view(path).substr(15),
                                  33,
                                  "",
                                  "8c1a2b3c-1111-2222-3333-444455556666",
                                  "shop",
                                  "web-x2x9z",
                                  "side-car"};
    CHECK(differences(event_of(record, nginx), R"({
        "kind": "EVENT_KIND_CLOSED", "connection_id": "75023dacc52a000000004d174876e800", "role": "ROLE_SERVER",
        "family": "FAMILY_IPV4", "local_address": "10.0.0.1", "local_port": 40000,
        "remote_address": "10.0.0.2", "remote_port": 80, "remote_scope": "SCOPE_PRIVATE", "netns": 4026531840,
        "process": {"pid": 1234, "name": "curl", "executable": "/usr/sbin/nginx", "uid": 33,
                    "cgroup_path":
                        "/kubepods/pod1/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                    "container_id": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                    "source": "OWNER_SOURCE_LISTENER"},
        "kubernetes": {"namespace": "shop", "pod": "web-x2x9z", "pod_uid": "8c1a2b3c-1111-2222-3333-444455556666",
                       "container": "side-car"},
        "state": "STATE_LAST_ACK", "outcome": "OUTCOME_ESTABLISHED", "end": "END_REMOTE_CLOSE",
        "opened_unix_nanos": "1700000099999800000", "established_unix_nanos": "1700000100001000000",
        "ended_unix_nanos": "1700000103000000000",
        "connect_us": "1200", "lifetime_us": "2999000", "idle_us": "100000",
        "timeline": [{"state": "STATE_SYN_RECV"}, {"state": "STATE_ESTABLISHED", "at_us": "1200"},
                     {"state": "STATE_CLOSE_WAIT", "at_us": "2200"}, {"state": "STATE_LAST_ACK", "at_us": "3200"},
                     {"state": "STATE_CLOSE", "at_us": "3000200"}],
        "bytes_sent": "130", "bytes_acked": "100", "bytes_received": "50",
        "segments_out": "8", "segments_in": "7", "data_segments_out": "3", "data_segments_in": "2",
        "fast_retransmits": 0, "timeout_retransmits": 0, "probe_retransmits": 0, "fin_retransmits": 0,
        "retransmits": 2, "synack_retransmits": 0, "bytes_retransmitted": "30",
        "lost": 1, "reordering": 0, "dsack_duplicates": 0, "out_of_order_in": 1,
        "rtt_us": 1000, "rtt_min_us": 900, "rtt_var_us": 500, "receive_rtt_us": 2000,
        "congestion": "bbr", "cwnd": 10, "ssthresh": 7, "mss": 1448, "delivery_rate_bps": "10000000",
        "busy_us": "60000", "receive_window_limited_us": "20000", "send_buffer_limited_us": "0",
        "send_queue_bytes": 0, "receive_queue_bytes": 0,
        "fast_open": false, "keepalive": false, "mptcp": false, "nodelay": false
    })") == "");
}

TEST_CASE("event: an attempt that was refused", "[unit]") {
    auto record = make_record(TCPTRAIL_ROLE_CLIENT);
    walk(record, {2, 7});
    record.socket.segments_out = 1;
    record.socket.segments_in = 1;
    record.socket.error = ECONNREFUSED;
    record.socket.cwnd = 10;
    record.socket.mss = 536;
    record.trouble.send_queue = 1;  // the SYN
    record.birth.reset_direction = TCPTRAIL_RESET_RECEIVED;
    record.birth.reset_state = 2;
    record.birth.reset_ns = record.birth.opened_ns + 700'000;
    CHECK(differences(event_of(record), R"({
        "kind": "EVENT_KIND_CLOSED", "connection_id": "75023dacc52a000000004d174876e800", "role": "ROLE_CLIENT",
        "family": "FAMILY_IPV4", "local_address": "10.0.0.1", "local_port": 40000,
        "remote_address": "10.0.0.2", "remote_port": 80, "remote_scope": "SCOPE_PRIVATE", "netns": 4026531840,
        "process": {"pid": 1234, "name": "curl", "executable": "/usr/bin/curl", "uid": 1000,
                    "cgroup_path": "/user.slice", "source": "OWNER_SOURCE_CONNECT"},
        "state": "STATE_SYN_SENT", "outcome": "OUTCOME_REFUSED", "error_number": 111, "error": "ECONNREFUSED",
        "end": "END_NOT_ESTABLISHED", "reset": {"direction": "RESET_DIRECTION_RECEIVED", "state": "STATE_SYN_SENT"},
        "opened_unix_nanos": "1700000100000000000", "ended_unix_nanos": "1700000103000000000",
        "lifetime_us": "3000000", "reset_us": "700",
        "timeline": [{"state": "STATE_SYN_SENT"}, {"state": "STATE_CLOSE", "at_us": "3000000"}],
        "bytes_sent": "0", "bytes_acked": "0", "bytes_received": "0",
        "segments_out": "1", "segments_in": "1", "data_segments_out": "0", "data_segments_in": "0",
        "retransmits": 0, "syn_retransmits": 0, "bytes_retransmitted": "0",
        "lost": 0, "reordering": 0, "dsack_duplicates": 0, "out_of_order_in": 0,
        "congestion": "cubic", "cwnd": 10, "mss": 536,
        "busy_us": "0", "receive_window_limited_us": "0", "send_buffer_limited_us": "0",
        "fast_open": false, "keepalive": false, "mptcp": false, "nodelay": false
    })") == "");
}

TEST_CASE("event: its end was missed", "[unit]") {
    auto record = make_record(TCPTRAIL_ROLE_CLIENT);
    walk(record, {2, 1});
    record.flags = TCPTRAIL_RECORD_END_MISSED;
    record.socket = {};
    CHECK(differences(event_of(record), R"({
        "kind": "EVENT_KIND_CLOSED", "connection_id": "75023dacc52a000000004d174876e800", "role": "ROLE_CLIENT",
        "family": "FAMILY_IPV4", "local_address": "10.0.0.1", "local_port": 40000,
        "remote_address": "10.0.0.2", "remote_port": 80, "remote_scope": "SCOPE_PRIVATE", "netns": 4026531840,
        "process": {"pid": 1234, "name": "curl", "executable": "/usr/bin/curl", "uid": 1000,
                    "cgroup_path": "/user.slice", "source": "OWNER_SOURCE_CONNECT"},
        "state": "STATE_ESTABLISHED", "outcome": "OUTCOME_ESTABLISHED",
        "opened_unix_nanos": "1700000100000000000", "established_unix_nanos": "1700000100001000000",
        "connect_us": "1000", "syn_retransmits": 0,
        "timeline": [{"state": "STATE_SYN_SENT"}, {"state": "STATE_ESTABLISHED", "at_us": "1000"}],
        "partial": ["PARTIAL_END_MISSED"]
    })") == "");
}

TEST_CASE("event: its birth was missed", "[unit]") {
    auto record = make_record(TCPTRAIL_ROLE_UNKNOWN);
    record.birth.flags = TCPTRAIL_BIRTH_MISSED;
    record.birth.opened_ns = 0;
    record.birth.owner = {};
    record.birth.owner.cgroup_id = 4711;
    record.birth.state = 9;
    record.flags = TCPTRAIL_RECORD_FIN_RECEIVED | TCPTRAIL_RECORD_FAST_OPEN | TCPTRAIL_RECORD_MPTCP;
    record.socket.bytes_acked = 1;
    record.socket.bytes_received = 1;
    // Whose it is, the socket's cgroup still says.
    CHECK(differences(event_of(record, {"", "/system.slice/db.service", "", {}, "db.service", ""}), R"({
        "kind": "EVENT_KIND_CLOSED", "connection_id": "75023dacc52a000000004d0000000000",
        "family": "FAMILY_IPV4", "local_address": "10.0.0.1", "local_port": 40000,
        "remote_address": "10.0.0.2", "remote_port": 80, "remote_scope": "SCOPE_PRIVATE", "netns": 4026531840,
        "process": {"cgroup_path": "/system.slice/db.service", "systemd_unit": "db.service"},
        "state": "STATE_LAST_ACK", "outcome": "OUTCOME_ESTABLISHED", "end": "END_REMOTE_CLOSE",
        "ended_unix_nanos": "1700000103000000000",
        "bytes_sent": "0", "bytes_received": "0",
        "segments_out": "5", "segments_in": "0", "data_segments_out": "0", "data_segments_in": "0",
        "retransmits": 0, "bytes_retransmitted": "0",
        "lost": 0, "reordering": 0, "dsack_duplicates": 0, "out_of_order_in": 0,
        "congestion": "cubic", "cwnd": 0, "mss": 0,
        "busy_us": "0", "receive_window_limited_us": "0", "send_buffer_limited_us": "0",
        "send_queue_bytes": 0, "receive_queue_bytes": 0,
        "fast_open": true, "keepalive": false, "mptcp": true, "nodelay": false,
        "partial": ["PARTIAL_BIRTH_MISSED", "PARTIAL_OWNER_UNKNOWN"]
    })") == "");
}

TEST_CASE("event: it began before the capture", "[unit]") {
    auto record = closed_client();
    record.flags = 0;
    record.birth.flags = TCPTRAIL_BIRTH_ADOPTED;
    record.birth.opened_ns = 0;
    record.birth.syn_retransmits = 0;
    record.birth.timeline_len = 0;
    record.birth.state = 1;
    record.birth.owner_source = TCPTRAIL_OWNER_SCAN;
    record.birth.owner.actor.uid = ~0u;
    std::strcpy(record.birth.thread_name, "curl");
    record.birth.reset_direction = TCPTRAIL_RESET_SENT;
    record.birth.reset_reason = 2;
    record.birth.reset_state = 1;
    record.birth.reset_ns = 103 * second_ns;
    record.socket.bytes_acked = 101;
    record.socket.bytes_received = 50;
    CHECK(differences(event_of(record, {"", "", "", {}}), R"({
        "kind": "EVENT_KIND_CLOSED", "connection_id": "75023dacc52a000000004d0000000000", "role": "ROLE_CLIENT",
        "family": "FAMILY_IPV4", "local_address": "10.0.0.1", "local_port": 40000,
        "remote_address": "10.0.0.2", "remote_port": 80, "remote_scope": "SCOPE_PRIVATE", "netns": 4026531840,
        "process": {"pid": 1234, "name": "curl", "source": "OWNER_SOURCE_SCAN"},
        "state": "STATE_ESTABLISHED", "outcome": "OUTCOME_ESTABLISHED", "end": "END_LOCAL_RESET",
        "reset": {"direction": "RESET_DIRECTION_SENT", "reason": "TCP_RFC7323_PAWS", "state": "STATE_ESTABLISHED"},
        "ended_unix_nanos": "1700000103000000000", "idle_us": "100000",
        "bytes_sent": "130", "bytes_acked": "100", "bytes_received": "50",
        "segments_out": "8", "segments_in": "7", "data_segments_out": "3", "data_segments_in": "2",
        "retransmits": 2, "bytes_retransmitted": "30",
        "lost": 1, "reordering": 0, "dsack_duplicates": 0, "out_of_order_in": 1,
        "rtt_us": 1000, "rtt_min_us": 900, "rtt_var_us": 500, "receive_rtt_us": 2000,
        "congestion": "bbr", "cwnd": 10, "ssthresh": 7, "mss": 1448, "delivery_rate_bps": "10000000",
        "busy_us": "60000", "receive_window_limited_us": "20000", "send_buffer_limited_us": "0",
        "send_queue_bytes": 0, "receive_queue_bytes": 0,
        "fast_open": false, "keepalive": false, "mptcp": false, "nodelay": false,
        "partial": ["PARTIAL_BEGAN_BEFORE_CAPTURE"]
    })") == "");
}

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
