// SPDX-License-Identifier: Apache-2.0
#include "agent/encode/event.h"

#include <arpa/inet.h>
#include <xxhash.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "agent/encode/printable.h"

namespace tcptrail::encode {

namespace {

using connections::Connection;
using connections::Traffic;

// The stages' enums have the schema's numbers.
static_assert(int(connections::Kind::closed) == v1::EVENT_KIND_CLOSED);
static_assert(int(connections::Role::server) == v1::ROLE_SERVER);
static_assert(int(connections::Scope::public_network) == v1::SCOPE_PUBLIC);
static_assert(int(connections::Outcome::refused) == v1::OUTCOME_REFUSED);
static_assert(int(connections::Outcome::abandoned) == v1::OUTCOME_ABANDONED);
static_assert(int(connections::Outcome::other) == v1::OUTCOME_OTHER);
static_assert(int(connections::End::local_reset) == v1::END_LOCAL_RESET);
static_assert(int(connections::End::not_established) == v1::END_NOT_ESTABLISHED);
static_assert(int(connections::OwnerSource::scan) == v1::OWNER_SOURCE_SCAN);
static_assert(int(connections::ResetDirection::received) == v1::RESET_DIRECTION_RECEIVED);
static_assert(int(connections::tcp_closing) == v1::STATE_CLOSING);
static_assert(connections::began_before_capture == 1u << v1::PARTIAL_BEGAN_BEFORE_CAPTURE);
static_assert(connections::state_changes_missed == 1u << v1::PARTIAL_STATE_CHANGES_MISSED);

template <class Value, class Setter>
void set_if(const std::optional<Value>& value, v1::ConnectionEvent& event, Setter setter) {
    if (value) (event.*setter)(*value);
}

void set_process(v1::ConnectionEvent& event, const Connection& c, const context::Identity& identity) {
    if (!c.owner.pid && identity.cgroup_path.empty()) return;
    v1::Process& process = *event.mutable_process();
    process.set_pid(c.owner.pid);
    process.set_name(repaired_utf8(c.owner.name));
    if (c.owner.thread_name != c.owner.name) process.set_thread_name(repaired_utf8(c.owner.thread_name));
    process.set_executable(repaired_utf8(identity.executable));
    if (identity.uid) process.set_uid(*identity.uid);
    process.set_cgroup_path(repaired_utf8(identity.cgroup_path));
    process.set_container_id(std::string(identity.container_id));
    process.set_source(static_cast<v1::OwnerSource>(c.owner.source));
}

void set_traffic(v1::ConnectionEvent& event, const Traffic& t) {
    using E = v1::ConnectionEvent;
    event.set_bytes_sent(t.bytes_sent);
    set_if(t.bytes_acked, event, &E::set_bytes_acked);
    event.set_bytes_received(t.bytes_received);
    event.set_bytes_retransmitted(t.bytes_retransmitted);
    event.set_segments_out(t.segments_out);
    event.set_segments_in(t.segments_in);
    event.set_data_segments_out(t.data_segments_out);
    event.set_data_segments_in(t.data_segments_in);
    event.set_retransmits(t.retransmits);
    set_if(t.fast_retransmits, event, &E::set_fast_retransmits);
    set_if(t.timeout_retransmits, event, &E::set_timeout_retransmits);
    set_if(t.probe_retransmits, event, &E::set_probe_retransmits);
    set_if(t.fin_retransmits, event, &E::set_fin_retransmits);
    set_if(t.rto_count, event, &E::set_rto_count);
    event.set_lost(t.lost);
    event.set_reordering(t.reordering);
    event.set_dsack_duplicates(t.dsack_duplicates);
    event.set_out_of_order_in(t.out_of_order_in);
    set_if(t.rtt_us, event, &E::set_rtt_us);
    set_if(t.rtt_min_us, event, &E::set_rtt_min_us);
    set_if(t.rtt_var_us, event, &E::set_rtt_var_us);
    set_if(t.receive_rtt_us, event, &E::set_receive_rtt_us);
    event.set_congestion(repaired_utf8(t.congestion));
    event.set_cwnd(t.cwnd);
    set_if(t.ssthresh, event, &E::set_ssthresh);
    event.set_mss(t.mss);
    set_if(t.delivery_rate_bps, event, &E::set_delivery_rate_bps);
    set_if(t.busy_us, event, &E::set_busy_us);
    set_if(t.receive_window_limited_us, event, &E::set_receive_window_limited_us);
    set_if(t.send_buffer_limited_us, event, &E::set_send_buffer_limited_us);
    set_if(t.send_queue_bytes, event, &E::set_send_queue_bytes);
    set_if(t.receive_queue_bytes, event, &E::set_receive_queue_bytes);
    event.set_fast_open(t.fast_open);
    event.set_keepalive(t.keepalive);
    set_if(t.keepalive_idle_secs, event, &E::set_keepalive_idle_secs);
    event.set_mptcp(t.mptcp);
    event.set_nodelay(t.nodelay);
}

void set_fate(v1::ConnectionEvent& event, const Connection& c) {
    event.set_state(static_cast<v1::State>(c.state));
    event.set_outcome(static_cast<v1::Outcome>(c.outcome));
    event.set_end(static_cast<v1::End>(c.end));
    if (c.error_number) {
        event.set_error_number(*c.error_number);
        const char* symbol = strerrorname_np(static_cast<int>(*c.error_number));
        if (symbol) event.set_error(symbol);
    }
    if (c.ended_by.pid) {
        event.mutable_ended_by()->set_pid(c.ended_by.pid);
        event.mutable_ended_by()->set_name(repaired_utf8(c.ended_by.name));
    }
    if (c.reset.direction != connections::ResetDirection::unspecified) {
        v1::Reset& reset = *event.mutable_reset();
        reset.set_direction(static_cast<v1::ResetDirection>(c.reset.direction));
        reset.set_reason(repaired_utf8(c.reset.reason));
        reset.set_state(static_cast<v1::State>(c.reset.state));
    }
}

void set_times(v1::ConnectionEvent& event, const Connection& c) {
    using E = v1::ConnectionEvent;
    set_if(c.opened_unix_nanos, event, &E::set_opened_unix_nanos);
    set_if(c.established_unix_nanos, event, &E::set_established_unix_nanos);
    set_if(c.ended_unix_nanos, event, &E::set_ended_unix_nanos);
    set_if(c.connect_us, event, &E::set_connect_us);
    set_if(c.accept_wait_us, event, &E::set_accept_wait_us);
    set_if(c.lifetime_us, event, &E::set_lifetime_us);
    set_if(c.idle_us, event, &E::set_idle_us);
    set_if(c.retransmit_first_us, event, &E::set_retransmit_first_us);
    set_if(c.retransmit_last_us, event, &E::set_retransmit_last_us);
    set_if(c.reset_us, event, &E::set_reset_us);
    set_if(c.syn_retransmits, event, &E::set_syn_retransmits);
    set_if(c.synack_retransmits, event, &E::set_synack_retransmits);
    for (size_t i = 0; i < c.timeline_size; ++i) {
        v1::StateChange& change = *event.add_timeline();
        change.set_state(static_cast<v1::State>(c.timeline[i].state));
        change.set_at_us(c.timeline[i].at_us);
    }
}

}  // namespace

uint64_t boot_number(const std::string& host_id, const std::string& boot_id) {
    const std::string both = host_id + boot_id;
    return XXH3_64bits(both.data(), both.size()) >> 16;
}

std::string connection_id(uint64_t boot, uint64_t cookie, uint64_t birth_ns) {
    constexpr uint64_t low_40 = 0xff'ffff'ffff;
    char hex[33];
    std::snprintf(hex, sizeof hex, "%012" PRIx64 "%010" PRIx64 "%010" PRIx64, boot, cookie & low_40,
                  birth_ns & low_40);
    return hex;
}

EventEncoder::EventEncoder(const context::Host& host, uint64_t last_sequence)
    : sequence_(last_sequence), boot_(boot_number(host.host_id, host.boot_id)) {
    event_.set_host_id(host.host_id);
    event_.set_node(repaired_utf8(host.node));
    event_.set_boot_id(host.boot_id);
    event_.set_run_id(host.run_id);
}

const v1::ConnectionEvent& EventEncoder::encode(const Connection& c, const context::Identity& identity,
                                                uint64_t now_unix_nanos) {
    // Clear() keeps the memory of strings and messages; the identity of the host is put back.
    std::string host_id = std::move(*event_.mutable_host_id()), node = std::move(*event_.mutable_node());
    std::string boot_id = std::move(*event_.mutable_boot_id()), run_id = std::move(*event_.mutable_run_id());
    event_.Clear();
    event_.set_host_id(std::move(host_id));
    event_.set_node(std::move(node));
    event_.set_boot_id(std::move(boot_id));
    event_.set_run_id(std::move(run_id));

    event_.set_sequence(++sequence_);
    event_.set_emitted_unix_nanos(now_unix_nanos);
    event_.set_kind(static_cast<v1::EventKind>(c.kind));
    event_.set_connection_id(connection_id(boot_, c.cookie, c.birth_ns));
    event_.set_role(static_cast<v1::Role>(c.role));
    if (c.has_addresses) {
        event_.set_family(c.ipv6 ? v1::FAMILY_IPV6 : v1::FAMILY_IPV4);
        // An attempt may end before it has a local address; the port is then of an earlier one.
        if (c.local.address != decltype(c.local.address){}) {
            event_.set_local_address(address_text(c.local, c.ipv6, c.ifindex));
            event_.set_local_port(c.local.port);
        }
        event_.set_remote_address(address_text(c.remote, c.ipv6, c.ifindex));
        event_.set_remote_port(c.remote.port);
        event_.set_remote_scope(static_cast<v1::Scope>(c.remote_scope));
        event_.set_netns(c.netns);
    }
    set_process(event_, c, identity);
    set_fate(event_, c);
    set_times(event_, c);
    if (c.traffic) set_traffic(event_, *c.traffic);
    for (int bit = 1; bit <= v1::Partial_MAX; ++bit)
        if (c.partial & (1u << bit)) event_.add_partial(static_cast<v1::Partial>(bit));
    return event_;
}

Message to_message(const v1::ConnectionEvent& event) {
    Message message;
    message.topic = Topic::connections;
    // Without the zone: the two ends of a link-local connection name their interfaces differently.
    const auto without_zone = [](const std::string& address) { return address.substr(0, address.find('%')); };
    std::string local = without_zone(event.local_address()) + " " + std::to_string(event.local_port());
    std::string remote = without_zone(event.remote_address()) + " " + std::to_string(event.remote_port());
    if (remote < local) std::swap(local, remote);
    message.key = local + " " + remote;
    event.SerializeToString(&message.value);
    return message;
}

std::string address_text(const connections::Endpoint& endpoint, bool ipv6, uint32_t ifindex) {
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(ipv6 ? AF_INET6 : AF_INET, endpoint.address.data(), text, sizeof text);
    const bool link_local = ipv6 && endpoint.address[0] == 0xfe && (endpoint.address[1] & 0xc0) == 0x80;
    if (!link_local || !ifindex) return text;
    return std::string(text) + "%" + std::to_string(ifindex);
}

}  // namespace tcptrail::encode
