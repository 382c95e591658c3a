// SPDX-License-Identifier: Apache-2.0
#include "agent/connections/connections.h"

#include <algorithm>
#include <cstring>

#include "agent/connections/addresses.h"
#include "agent/connections/classify.h"

namespace tcptrail::connections {

namespace {

constexpr uint32_t infinite_ssthresh = 0x7fffffff;  // TCP_INFINITE_SSTHRESH
constexpr uint32_t no_rtt_min = ~0u;                // minmax of a connection without a sample

std::string_view name_of(const char (&name)[TCPTRAIL_NAME_LEN]) {
    return {name, strnlen(name, sizeof name)};
}

uint64_t micros_between(uint64_t from_ns, uint64_t to_ns) {
    return to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;
}

std::optional<uint64_t> micros_of_jiffies(uint64_t jiffies, uint32_t hz) {
    if (!hz) return std::nullopt;
    return jiffies * 1'000'000 / hz;
}

}  // namespace

Owner owner_of(const tcptrail_owner& owner, const char (&thread_name)[TCPTRAIL_NAME_LEN], uint32_t source) {
    Owner result;
    result.pid = owner.actor.pid;
    result.start_ns = owner.start_ns;
    result.cgroup_id = owner.cgroup_id;
    if (!result.pid) return result;
    if (owner.actor.uid != ~0u) result.uid = owner.actor.uid;
    result.name = name_of(owner.actor.name);
    result.thread_name = name_of(thread_name);
    result.source = static_cast<OwnerSource>(source);
    return result;
}

namespace {

uint32_t partial_of(const tcptrail_record& record) {
    const tcptrail_birth& birth = record.birth;
    uint32_t partial = 0;
    if (birth.flags & TCPTRAIL_BIRTH_ADOPTED) partial |= began_before_capture;
    if (birth.flags & TCPTRAIL_BIRTH_MISSED) partial |= birth_missed;
    if (birth.flags & TCPTRAIL_BIRTH_STATES_GAP) partial |= state_changes_missed;
    if (record.flags & TCPTRAIL_RECORD_END_MISSED) partial |= end_missed;
    if (!birth.owner.actor.pid) partial |= owner_unknown;
    return partial;
}

// The kernel counts the sequence numbers of SYN and FIN as bytes; users count payload.
//  * bytes_acked: a client's SYN is acknowledged through tcp_ack(), a server's is not counted.
//  * bytes_acked: a FIN that was sent is the last sequence number, so it is acknowledged exactly
//    when nothing is outstanding.
//  * bytes_received: a FIN is counted when it is received in order, which sets SOCK_DONE.
void set_bytes(Traffic& traffic, const tcptrail_record& record, const Facts& facts) {
    const tcptrail_socket& socket = record.socket;
    const uint32_t send_queue = record.trouble.send_queue;
    const bool fin_sent = facts.passed_fin_wait1 || facts.passed_closing || facts.state == tcp_last_ack;
    const bool syn_acked = facts.established && facts.role == Role::client;
    const uint64_t control = uint64_t{syn_acked} + uint64_t{fin_sent && facts.all_acknowledged};
    traffic.bytes_sent = socket.bytes_sent;
    // Without a role it is not known whether a SYN is in the count.
    if (facts.role != Role::unspecified)
        traffic.bytes_acked = socket.bytes_acked - std::min<uint64_t>(socket.bytes_acked, control);
    traffic.bytes_received =
        socket.bytes_received - std::min<uint64_t>(socket.bytes_received, facts.fin_received);
    traffic.bytes_retransmitted = record.trouble.bytes_retransmitted;
    if (!facts.established) return;
    traffic.send_queue_bytes = send_queue - std::min<uint32_t>(send_queue, fin_sent);
    traffic.receive_queue_bytes =
        socket.receive_queue - std::min<uint32_t>(socket.receive_queue, facts.fin_received);
}

// Not of a connection whose earlier ones were not seen.
void set_retransmit_kinds(Traffic& t, const tcptrail_record& record) {
    constexpr uint32_t unknown = TCPTRAIL_BIRTH_ADOPTED | TCPTRAIL_BIRTH_MISSED | TCPTRAIL_BIRTH_DETAILS_LOST;
    if (!(record.birth.flags & TCPTRAIL_BIRTH_ESTABLISHED) || record.birth.flags & unknown) return;
    t.fast_retransmits = record.details.fast_retransmits;
    t.timeout_retransmits = record.details.timeout_retransmits;
    t.probe_retransmits = record.details.probe_retransmits;
    t.fin_retransmits = record.details.fin_retransmits;
}

// tcp_compute_delivery_rate(), in bits per second. Nothing: not measured.
std::optional<uint64_t> delivery_rate_of(const tcptrail_socket& socket) {
    if (!socket.rate_interval_us) return std::nullopt;
    const uint64_t bytes = uint64_t{socket.rate_delivered} * socket.mss * 1'000'000 / socket.rate_interval_us;
    if (!bytes) return std::nullopt;
    return bytes * 8;
}

Traffic traffic_of(const tcptrail_record& record, const Facts& facts, const Kernel& kernel) {
    const uint32_t hz = kernel.hz;
    const tcptrail_socket& socket = record.socket;
    const tcptrail_trouble& trouble = record.trouble;
    Traffic t;
    set_bytes(t, record, facts);
    t.segments_out = socket.segments_out;
    t.segments_in = socket.segments_in;
    t.data_segments_out = socket.data_segments_out;
    t.data_segments_in = socket.data_segments_in;
    t.retransmits = trouble.retransmits;
    if (kernel.tells_retransmits) set_retransmit_kinds(t, record);
    if (record.flags & TCPTRAIL_RECORD_HAS_RTO_COUNT) t.rto_count = trouble.rto_count;
    t.lost = trouble.lost;
    t.reordering = trouble.reordering;
    t.dsack_duplicates = trouble.dsack_duplicates;
    t.out_of_order_in = trouble.out_of_order_in;
    t.congestion = name_of(socket.congestion);
    t.cwnd = socket.cwnd;
    t.mss = socket.mss;
    t.fast_open = record.flags & TCPTRAIL_RECORD_FAST_OPEN;
    t.keepalive = record.flags & TCPTRAIL_RECORD_KEEPALIVE;
    t.mptcp = record.flags & TCPTRAIL_RECORD_MPTCP;
    t.nodelay = record.flags & TCPTRAIL_RECORD_NODELAY;
    if (t.keepalive && hz) t.keepalive_idle_secs = socket.keepalive_idle_jiffies / hz;
    if (socket.srtt_us) {
        t.rtt_us = socket.srtt_us >> 3;
        t.rtt_var_us = socket.mdev_us >> 2;
    }
    if (socket.rtt_min_us != no_rtt_min && socket.srtt_us) t.rtt_min_us = socket.rtt_min_us;
    if (socket.receive_rtt_us) t.receive_rtt_us = socket.receive_rtt_us >> 3;
    if (socket.ssthresh < infinite_ssthresh) t.ssthresh = socket.ssthresh;
    t.delivery_rate_bps = delivery_rate_of(socket);
    // tcp_get_info_chrono_stats(): the limits count as busy too.
    t.busy_us = micros_of_jiffies(
        uint64_t{trouble.chrono_jiffies[0]} + trouble.chrono_jiffies[1] + trouble.chrono_jiffies[2], hz);
    t.receive_window_limited_us = micros_of_jiffies(trouble.chrono_jiffies[1], hz);
    t.send_buffer_limited_us = micros_of_jiffies(trouble.chrono_jiffies[2], hz);
    return t;
}

// How long nothing had crossed the connection: until its end, or, where data was never acknowledged, until
// the first of that was sent. It tells a connection that was dead before it was written to from one that was
// in use. Without SACK the kernel knows the last acknowledgement only, which a FIN or a keepalive's answer is
// too.
std::optional<uint64_t> idle_of(const tcptrail_record& record, const Traffic& traffic, uint32_t hz) {
    const tcptrail_trouble& trouble = record.trouble;
    if (!hz || !(traffic.bytes_sent || traffic.bytes_received)) return std::nullopt;
    const auto micros = [hz](uint32_t jiffies) { return *micros_of_jiffies(jiffies, hz); };
    if (!traffic.send_queue_bytes.value_or(0)) return micros(record.socket.quiet_jiffies);
    const uint64_t delivered = trouble.delivered_us ? trouble.delivered_us : micros(trouble.acked_jiffies);
    const uint64_t crossed = std::min(micros(trouble.received_jiffies), delivered);
    return crossed - std::min<uint64_t>(crossed, trouble.first_sent_us);
}

// 0: not known.
uint64_t established_ns_of(const tcptrail_birth& birth) {
    if (!(birth.flags & TCPTRAIL_BIRTH_ESTABLISHED)) return 0;
    for (unsigned i = 0; i < birth.timeline_len; ++i)
        if ((birth.timeline[i] & 0xf) == tcp_established) return birth.opened_ns + (birth.timeline[i] >> 4);
    return 0;
}

// When a server's connection was opened: its SYN-ACK, which came before the child did.
uint64_t opened_ns_of(const tcptrail_birth& birth) {
    const uint64_t opened = birth.opened_ns, established = established_ns_of(birth);
    const uint64_t before = uint64_t{birth.synack_rtt_us} * 1000;
    if (birth.role == TCPTRAIL_ROLE_SERVER && before && established > before)
        return std::min(opened, established - before);
    return opened;
}

// The birth's own state comes first. The change to CLOSE is the end; the second witness has not seen it.
void set_timeline(Connection& c, const tcptrail_record& record, uint64_t opened) {
    const tcptrail_birth& birth = record.birth;
    const auto add = [&](uint8_t state, uint64_t at_us) { c.timeline[c.timeline_size++] = {state, at_us}; };
    if (!(record.flags & TCPTRAIL_RECORD_NO_SYN))
        add(birth.role == TCPTRAIL_ROLE_SERVER ? tcp_syn_recv : tcp_syn_sent, 0);
    for (unsigned i = 0; i < birth.timeline_len; ++i)
        add(static_cast<uint8_t>(birth.timeline[i] & 0xf),
            micros_between(opened, birth.opened_ns + (birth.timeline[i] >> 4)));
    constexpr uint32_t no_close =
        TCPTRAIL_RECORD_END_MISSED | TCPTRAIL_RECORD_SECOND_WITNESS | TCPTRAIL_RECORD_NO_SYN;
    if (c.kind == Kind::closed && !(record.flags & no_close))
        add(tcp_close, micros_between(opened, record.ended_ns));
}

void set_times(Connection& c, const tcptrail_record& record, const Facts& facts, uint64_t boot_to_unix) {
    const tcptrail_birth& birth = record.birth;
    const uint64_t opened = opened_ns_of(birth), established = established_ns_of(birth);
    if (established) c.established_unix_nanos = established + boot_to_unix;
    if (!facts.end_missed && c.kind == Kind::closed) c.ended_unix_nanos = record.ended_ns + boot_to_unix;
    if (!birth.opened_ns) return;
    c.opened_unix_nanos = opened + boot_to_unix;
    if (established) {
        if (c.role == Role::client) c.connect_us = micros_between(opened, established);
        if (c.role == Role::server && birth.synack_rtt_us) c.connect_us = birth.synack_rtt_us;
        if (c.role == Role::client) c.syn_retransmits = birth.syn_retransmits;
        if (c.role == Role::server) c.synack_retransmits = birth.syn_retransmits;
    } else if (c.role == Role::client && !facts.end_missed && !facts.established &&
               !(record.flags & TCPTRAIL_RECORD_NO_SYN)) {
        c.syn_retransmits = record.trouble.retransmits;
    }
    // With Fast Open it may be accepted before it is established.
    if (established && birth.accepted_ns >= established)
        c.accept_wait_us = micros_between(established, birth.accepted_ns);
    const bool has_beginning = established || !facts.established;
    if (!facts.end_missed && has_beginning)
        c.lifetime_us = micros_between(established ? established : opened, record.ended_ns);
    const tcptrail_details& details = record.details;
    if (details.retransmit_first_ns)
        c.retransmit_first_us = micros_between(opened, details.retransmit_first_ns);
    if (details.retransmit_last_ns) c.retransmit_last_us = micros_between(opened, details.retransmit_last_ns);
    if (birth.reset_direction != TCPTRAIL_RESET_NONE) c.reset_us = micros_between(opened, birth.reset_ns);
    set_timeline(c, record, opened);
}

Kind kind_of(const tcptrail_record& record) {
    if (record.flags & TCPTRAIL_RECORD_PROGRESS) return Kind::progress;
    if (record.flags & TCPTRAIL_RECORD_OPENED) return Kind::opened;
    return Kind::closed;
}

// Who ended it in a call of his own.
Actor ended_by_of(const tcptrail_record& record) {
    const tcptrail_birth& birth = record.birth;
    if (birth.flags & TCPTRAIL_BIRTH_ENDED_BY_OWNER)
        return {birth.owner.actor.pid, name_of(birth.owner.actor.name)};
    if (!(birth.flags & TCPTRAIL_BIRTH_ENDED_BY_OTHER)) return {};
    return {record.details.ended_by_pid, name_of(record.details.ended_by_name)};
}

// How it ended; nothing while it is open.
void set_end(Connection& c, const tcptrail_record& record, const Facts& facts) {
    c.end = end_of(facts);
    if (const int error = error_of(facts, c.outcome, c.end)) c.error_number = static_cast<uint32_t>(error);
    if (c.end != End::remote_close && c.end != End::remote_reset && c.outcome != Outcome::no_local_port)
        c.ended_by = ended_by_of(record);
}

}  // namespace

Connection connection_of(const tcptrail_record& record, const Kernel& kernel, uint64_t boot_to_unix) {
    const tcptrail_birth& birth = record.birth;
    const Facts facts = facts_of(record);
    Connection c;
    c.kind = kind_of(record);
    c.cookie = birth.cookie;
    c.birth_ns = birth.opened_ns;
    c.told_before = record.flags & TCPTRAIL_RECORD_TOLD_BEFORE;
    c.role = facts.role;
    set_addresses(c, addresses_of(birth));
    c.owner = owner_of(birth.owner, birth.thread_name, birth.owner_source);
    c.state = facts.state;
    if (c.kind == Kind::closed || facts.established) c.outcome = outcome_of(facts);
    if (c.kind == Kind::closed) set_end(c, record, facts);
    if (birth.reset_direction != TCPTRAIL_RESET_NONE) {
        c.reset = {static_cast<ResetDirection>(birth.reset_direction), {}, birth.reset_state};
        if (birth.reset_reason && birth.reset_reason < kernel.reset_reasons.size())
            c.reset.reason = kernel.reset_reasons[birth.reset_reason];
    } else if (facts.local_abort && c.end == End::local_reset) {
        c.reset = {ResetDirection::sent, {}, birth.reset_state};
    }
    set_times(c, record, facts, boot_to_unix);
    if (!facts.end_missed && !(record.flags & TCPTRAIL_RECORD_NO_SYN)) {
        c.traffic = traffic_of(record, facts, kernel);
        c.idle_us = idle_of(record, *c.traffic, kernel.hz);
        // It is counted in ticks, of which some may come late, and all at once.
        if (c.idle_us && birth.opened_ns)
            c.idle_us = std::min(*c.idle_us, micros_between(opened_ns_of(birth), record.ended_ns));
    }
    c.partial = partial_of(record);
    return c;
}

}  // namespace tcptrail::connections
