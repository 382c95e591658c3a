// SPDX-License-Identifier: Apache-2.0
//
// From a record of the kernel side to the message of the stream: whole events, compared with golden ones.
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "tests/unit/events.h"

using namespace tcptrail;
using namespace tcptrail::tests;

namespace {

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
                                  "",
                                  {"8c1a2b3c-1111-2222-3333-444455556666", "shop", "web-x2x9z", "side-car",
                                   "Deployment", "web", "node-1", context::Metadata::api_server, 0},
                                  {"bank", "teller-0", "", "StatefulSet", "teller", "node-2"},
                                  connections::cgroup_unknown};
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
                       "container": "side-car", "workload_kind": "Deployment", "workload": "web", "node": "node-1",
                       "remote_namespace": "bank", "remote_pod": "teller-0", "remote_workload_kind": "StatefulSet",
                       "remote_workload": "teller", "remote_node": "node-2", "metadata": "METADATA_API_SERVER"},
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
        "fast_open": false, "keepalive": false, "mptcp": false, "nodelay": false,
        "partial": ["PARTIAL_CGROUP_UNKNOWN"]
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
    context::Identity identity;
    identity.cgroup_path = "/system.slice/db.service";
    identity.systemd_unit = "db.service";
    identity.systemd_slice = "system.slice";
    identity.container_runtime = "podman";
    CHECK(differences(event_of(record, identity), R"({
        "kind": "EVENT_KIND_CLOSED", "connection_id": "75023dacc52a000000004d0000000000",
        "family": "FAMILY_IPV4", "local_address": "10.0.0.1", "local_port": 40000,
        "remote_address": "10.0.0.2", "remote_port": 80, "remote_scope": "SCOPE_PRIVATE", "netns": 4026531840,
        "process": {"cgroup_path": "/system.slice/db.service", "systemd_unit": "db.service",
                    "systemd_slice": "system.slice", "container_runtime": "podman"},
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
