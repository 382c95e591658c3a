// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/lean.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace tcptrail::capture {

namespace {

constexpr uint32_t infinite_ssthresh = 0x7fffffff;         // TCP_INFINITE_SSTHRESH
constexpr uint64_t tcp_established = 1, tcp_syn_recv = 3;  // include/net/tcp_states.h

template <class To, class From>
void copy(To& to, const From& from) {
    static_assert(sizeof from <= sizeof to);
    std::memcpy(&to, &from, sizeof from);
}

uint64_t nanos(uint32_t steps) {
    return uint64_t{steps} << TCPTRAIL_LEAN_STEP_SHIFT;
}

void expand_times(const tcptrail_lean& lean, tcptrail_birth& birth) {
    birth.timeline_len = lean.timeline_len;
    for (int i = 0; i < std::min<int>(lean.timeline_len, TCPTRAIL_TIMELINE_LEN); ++i) {
        const uint64_t state = lean.timeline_states >> (4 * i) & 0xf, steps = nanos(lean.timeline_steps[i]);
        const bool is_early = state == tcp_established || state == tcp_syn_recv;
        const uint64_t at = is_early ? steps : lean.ended_ns - lean.opened_ns - steps;
        birth.timeline[i] = at << 4 | state;
    }
    if (lean.accepted_steps) birth.accepted_ns = lean.opened_ns + nanos(lean.accepted_steps);
    if (lean.reset_direction != TCPTRAIL_RESET_NONE) birth.reset_ns = lean.ended_ns - nanos(lean.reset_steps);
}

void expand_birth(const tcptrail_lean& lean, tcptrail_birth& birth) {
    birth.cookie = lean.cookie;
    birth.opened_ns = lean.opened_ns;
    birth.owner.cgroup_id = lean.cgroup_id;
    birth.owner.start_ns = lean.start_ns;
    birth.owner.actor.pid = lean.pid;
    birth.owner.actor.uid = lean.uid;
    copy(birth.owner.actor.name, lean.name);
    copy(birth.thread_name, lean.name);
    copy(birth.local, lean.local);
    copy(birth.remote, lean.remote);
    birth.local_port = lean.local_port;
    birth.remote_port = lean.remote_port;
    birth.netns = lean.netns;
    birth.synack_rtt_us = lean.synack_rtt_us;
    birth.flags = lean.birth_flags;
    birth.family = AF_INET;
    birth.reported_error = lean.reported_error;
    birth.reset_reason = lean.reset_reason;
    birth.syn_retransmits = lean.syn_retransmits;
    birth.owner_source = lean.owner_source;
    birth.role = lean.role;
    birth.state = lean.state;
    birth.reset_direction = lean.reset_direction;
    birth.reset_state = lean.reset_state;
}

void expand_socket(const tcptrail_lean& lean, tcptrail_socket& socket) {
    socket.bytes_sent = lean.bytes_sent;
    socket.bytes_acked = lean.bytes_acked;
    socket.bytes_received = lean.bytes_received;
    socket.rate_delivered = lean.rate_delivered;
    socket.rate_interval_us = lean.rate_interval_us;
    socket.segments_out = lean.segments_out;
    socket.segments_in = lean.segments_in;
    socket.data_segments_out = lean.data_segments_out;
    socket.data_segments_in = lean.data_segments_in;
    socket.srtt_us = lean.srtt_us;
    socket.mdev_us = lean.mdev_us;
    socket.rtt_min_us = lean.rtt_min_us;
    socket.receive_rtt_us = lean.receive_rtt_us;
    socket.cwnd = lean.cwnd;
    socket.ssthresh = lean.ssthresh == TCPTRAIL_LEAN_SSTHRESH_INFINITE ? infinite_ssthresh : lean.ssthresh;
    socket.quiet_jiffies = lean.quiet_jiffies;
    socket.receive_queue = lean.receive_queue;
    socket.keepalive_idle_jiffies = lean.keepalive_idle_jiffies;
    socket.mss = lean.mss;
    socket.error = lean.error;
    socket.shutdown = lean.shutdown;
    copy(socket.congestion, lean.congestion);
}

}  // namespace

void expand(const tcptrail_lean& lean, tcptrail_record& record) {
    record = {};
    record.version = lean.version;
    record.size = sizeof record;
    record.flags = lean.flags;
    record.ended_ns = lean.ended_ns;
    expand_birth(lean, record.birth);
    expand_times(lean, record.birth);
    expand_socket(lean, record.socket);
    record.trouble.chrono_jiffies[0] = lean.busy_jiffies;
}

}  // namespace tcptrail::capture
