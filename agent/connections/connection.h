// SPDX-License-Identifier: Apache-2.0
//
// One connection as the agent understands it: what crosses from this stage to the later ones.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "bpf/abi/record.h"

namespace tcptrail::connections {

// The numbers of these enums are those of schemas/v1/connection.proto; encode asserts it.
enum class Kind : uint8_t { unspecified, opened, progress, closed };
enum class Role : uint8_t { unspecified, client, server };
enum class Scope : uint8_t { unspecified, loopback, link_local, private_network, public_network };
enum class Outcome : uint8_t {
    unspecified,
    established,
    refused,
    timed_out,
    host_unreachable,
    network_unreachable,
    abandoned,
    no_local_port,
    denied,
    other,
};
enum class End : uint8_t {
    unspecified,
    local_close,
    remote_close,
    simultaneous_close,
    local_reset,
    remote_reset,
    retransmit_timeout,
    keepalive_timeout,
    killed,
    not_established,
};
enum class OwnerSource : uint8_t { unspecified, connect, accept, listener, scan };
enum class ResetDirection : uint8_t { unspecified, sent, received };

// Bits of Connection::partial; bit n is value n of the schema's enum Partial.
enum PartialBit : uint32_t {
    began_before_capture = 1u << 1,
    birth_missed = 1u << 2,
    end_missed = 1u << 3,
    owner_unknown = 1u << 4,
    state_changes_missed = 1u << 5,
    pod_unknown = 1u << 6,
    container_unknown = 1u << 7,
    workload_unknown = 1u << 8,
    cgroup_unknown = 1u << 9,
};

// Linux's numbers (include/net/tcp_states.h), which are the schema's too.
enum TcpState : uint8_t {
    tcp_unknown = 0,
    tcp_established = 1,
    tcp_syn_sent = 2,
    tcp_syn_recv = 3,
    tcp_fin_wait1 = 4,
    tcp_fin_wait2 = 5,
    tcp_time_wait = 6,
    tcp_close = 7,
    tcp_close_wait = 8,
    tcp_last_ack = 9,
    tcp_listen = 10,
    tcp_closing = 11,
};

struct Endpoint {
    std::array<uint8_t, 16> address{};  // network byte order; IPv4 in the first four
    uint16_t port = 0;
};

struct Actor {
    uint32_t pid = 0;  // 0: nobody
    std::string_view name;
};

struct Owner {
    uint32_t pid = 0;       // 0: not known
    uint64_t start_ns = 0;  // of the process, CLOCK_BOOTTIME
    std::optional<uint32_t> uid;
    uint64_t cgroup_id = 0;  // cgroup v2 of the socket; 0: not known
    std::string_view name;
    std::string_view thread_name;
    OwnerSource source = OwnerSource::unspecified;
};

struct Reset {
    ResetDirection direction = ResetDirection::unspecified;
    std::string_view reason;
    uint8_t state = tcp_unknown;
};

struct StateChange {
    uint8_t state = tcp_unknown;
    uint64_t at_us = 0;  // since opened
};

// What tcp_sock had counted at the time of the event; payload bytes, without SYN and FIN.
struct Traffic {
    uint64_t bytes_sent = 0, bytes_received = 0, bytes_retransmitted = 0;
    std::optional<uint64_t> bytes_acked;
    uint64_t segments_out = 0, segments_in = 0, data_segments_out = 0, data_segments_in = 0;
    uint32_t retransmits = 0;
    std::optional<uint32_t> fast_retransmits, timeout_retransmits, probe_retransmits, fin_retransmits;
    std::optional<uint32_t> rto_count;
    uint32_t lost = 0, reordering = 0, dsack_duplicates = 0, out_of_order_in = 0;
    std::optional<uint32_t> rtt_us, rtt_min_us, rtt_var_us, receive_rtt_us;
    std::string_view congestion;
    uint32_t cwnd = 0;
    std::optional<uint32_t> ssthresh;
    uint32_t mss = 0;
    std::optional<uint64_t> delivery_rate_bps;
    std::optional<uint64_t> busy_us, receive_window_limited_us, send_buffer_limited_us;
    std::optional<uint32_t> send_queue_bytes, receive_queue_bytes;
    bool fast_open = false, keepalive = false, mptcp = false, nodelay = false;
    std::optional<uint32_t> keepalive_idle_secs;
};

// Views point into the record that it was made from, and are valid as long as that is.
struct Connection {
    Kind kind = Kind::unspecified;
    uint64_t cookie = 0;       // of the socket, unique within a boot
    uint64_t birth_ns = 0;     // CLOCK_BOOTTIME; with the cookie it names one attempt. 0: not seen
    bool told_before = false;  // there may be an earlier event of this attempt
    Role role = Role::unspecified;
    bool ipv6 = false;
    bool has_addresses = false;
    Endpoint local, remote;
    Scope remote_scope = Scope::unspecified;
    uint32_t netns = 0;
    uint32_t ifindex = 0;
    Owner owner;

    uint8_t state = tcp_unknown;
    Outcome outcome = Outcome::unspecified;
    std::optional<uint32_t> error_number;
    End end = End::unspecified;
    Actor ended_by;
    Reset reset;

    std::optional<uint64_t> opened_unix_nanos, established_unix_nanos, ended_unix_nanos;
    std::optional<uint64_t> connect_us, accept_wait_us, lifetime_us, idle_us;
    std::array<StateChange, 16> timeline{};
    size_t timeline_size = 0;
    std::optional<uint64_t> retransmit_first_us, retransmit_last_us, reset_us;
    std::optional<uint32_t> syn_retransmits, synack_retransmits;
    std::optional<Traffic> traffic;  // absent when the socket was gone
    uint32_t partial = 0;            // PartialBit
};

}  // namespace tcptrail::connections
