// SPDX-License-Identifier: Apache-2.0
#include "agent/encode/event.h"

#include <arpa/inet.h>
#include <xxhash.h>

#include <array>
#include <charconv>
#include <cstring>
#include <string_view>

namespace tcptrail::encode {

namespace {

using connections::Connection;
using connections::Traffic;

using IdDigits = std::array<char, 32>;

IdDigits id_digits(uint64_t boot, uint64_t cookie, uint64_t birth_ns) {
    IdDigits digits;
    const auto put = [&digits](size_t end, size_t count, uint64_t value) {
        for (size_t i = 1; i <= count; ++i, value >>= 4)
            digits[end - i] = "0123456789abcdef"[value & 0xf];
    };
    put(12, 12, boot);
    put(22, 10, cookie);
    put(32, 10, birth_ns);
    return digits;
}

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
static_assert(connections::pod_unknown == 1u << v1::PARTIAL_POD_UNKNOWN);
static_assert(connections::cgroup_unknown == 1u << v1::PARTIAL_CGROUP_UNKNOWN);
static_assert(int(context::Metadata::api_denied) == v1::METADATA_API_DENIED);

using E = v1::ConnectionEvent;

void put_process(WireWriter& out, const Connection& c, const context::Identity& identity) {
    if (!c.owner.pid && identity.cgroup_path.empty()) return;
    using P = v1::Process;
    const size_t process = out.begin(E::kProcessFieldNumber);
    out.implicit(P::kPidFieldNumber, c.owner.pid);
    out.text(P::kNameFieldNumber, c.owner.name);
    out.text(P::kExecutableFieldNumber, identity.executable);
    out.optional(P::kUidFieldNumber, identity.uid);
    out.text(P::kCgroupPathFieldNumber, identity.cgroup_path);
    out.text(P::kContainerIdFieldNumber, identity.container_id);
    out.implicit(P::kSourceFieldNumber, static_cast<uint64_t>(c.owner.source));
    if (c.owner.thread_name != c.owner.name) out.text(P::kThreadNameFieldNumber, c.owner.thread_name);
    out.text(P::kSystemdUnitFieldNumber, identity.systemd_unit);
    out.text(P::kContainerNameFieldNumber, identity.container_name);
    out.text(P::kSystemdSliceFieldNumber, identity.systemd_slice);
    out.text(P::kContainerRuntimeFieldNumber, identity.container_runtime);
    out.end(process);
}

void put_kubernetes(WireWriter& out, const context::Identity& identity) {
    const context::PodIdentity& pod = identity.pod;
    const context::RemoteIdentity& remote = identity.remote;
    if (pod.uid.empty() && remote.node.empty() && remote.service.empty() && remote.pod.empty()) return;
    const size_t kubernetes = out.begin(E::kKubernetesFieldNumber);
    using K = v1::Kubernetes;
    out.text(K::kNamespaceFieldNumber, pod.name_space);
    out.text(K::kPodFieldNumber, pod.pod);
    out.text(K::kPodUidFieldNumber, pod.uid);
    out.text(K::kContainerFieldNumber, pod.container);
    out.text(K::kWorkloadKindFieldNumber, pod.workload_kind);
    out.text(K::kWorkloadFieldNumber, pod.workload);
    out.text(K::kNodeFieldNumber, pod.node);
    out.text(K::kRemoteNamespaceFieldNumber, remote.name_space);
    out.text(K::kRemotePodFieldNumber, remote.pod);
    out.text(K::kRemoteServiceFieldNumber, remote.service);
    out.text(K::kRemoteWorkloadKindFieldNumber, remote.workload_kind);
    out.text(K::kRemoteWorkloadFieldNumber, remote.workload);
    out.text(K::kRemoteNodeFieldNumber, remote.node);
    out.implicit(K::kMetadataFieldNumber, static_cast<uint64_t>(pod.metadata));
    out.end(kubernetes);
}

void put_fate(WireWriter& out, const Connection& c) {
    out.implicit(E::kStateFieldNumber, c.state);
    out.implicit(E::kOutcomeFieldNumber, static_cast<uint64_t>(c.outcome));
    if (c.error_number) {
        out.present(E::kErrorNumberFieldNumber, *c.error_number);
        const char* symbol = strerrorname_np(static_cast<int>(*c.error_number));
        if (symbol) out.text(E::kErrorFieldNumber, symbol);
    }
    out.implicit(E::kEndFieldNumber, static_cast<uint64_t>(c.end));
    if (c.ended_by.pid) {
        const size_t actor = out.begin(E::kEndedByFieldNumber);
        out.present(v1::Actor::kPidFieldNumber, c.ended_by.pid);
        out.text(v1::Actor::kNameFieldNumber, c.ended_by.name);
        out.end(actor);
    }
    if (c.reset.direction != connections::ResetDirection::unspecified) {
        const size_t reset = out.begin(E::kResetFieldNumber);
        out.implicit(v1::Reset::kDirectionFieldNumber, static_cast<uint64_t>(c.reset.direction));
        out.text(v1::Reset::kReasonFieldNumber, c.reset.reason);
        out.implicit(v1::Reset::kStateFieldNumber, c.reset.state);
        out.end(reset);
    }
}

void put_times(WireWriter& out, const Connection& c) {
    out.optional(E::kOpenedUnixNanosFieldNumber, c.opened_unix_nanos);
    out.optional(E::kEstablishedUnixNanosFieldNumber, c.established_unix_nanos);
    out.optional(E::kEndedUnixNanosFieldNumber, c.ended_unix_nanos);
    out.optional(E::kConnectUsFieldNumber, c.connect_us);
    out.optional(E::kAcceptWaitUsFieldNumber, c.accept_wait_us);
    out.optional(E::kLifetimeUsFieldNumber, c.lifetime_us);
    out.optional(E::kIdleUsFieldNumber, c.idle_us);
    for (size_t i = 0; i < c.timeline_size; ++i) {
        const size_t change = out.begin(E::kTimelineFieldNumber);
        out.implicit(v1::StateChange::kStateFieldNumber, c.timeline[i].state);
        out.implicit(v1::StateChange::kAtUsFieldNumber, c.timeline[i].at_us);
        out.end(change);
    }
    out.optional(E::kRetransmitFirstUsFieldNumber, c.retransmit_first_us);
    out.optional(E::kRetransmitLastUsFieldNumber, c.retransmit_last_us);
    out.optional(E::kResetUsFieldNumber, c.reset_us);
}

// With the SYNs that were sent again, whose numbers lie between.
void put_traffic(WireWriter& out, const Connection& c) {
    const bool known = c.traffic.has_value();
    static const Traffic none;
    const Traffic& t = known ? *c.traffic : none;
    const auto put = [&](int field, uint64_t value) {
        if (known) out.present(field, value);
    };
    put(E::kBytesSentFieldNumber, t.bytes_sent);
    out.optional(E::kBytesAckedFieldNumber, t.bytes_acked);
    put(E::kBytesReceivedFieldNumber, t.bytes_received);
    put(E::kSegmentsOutFieldNumber, t.segments_out);
    put(E::kSegmentsInFieldNumber, t.segments_in);
    put(E::kDataSegmentsOutFieldNumber, t.data_segments_out);
    put(E::kDataSegmentsInFieldNumber, t.data_segments_in);
    put(E::kRetransmitsFieldNumber, t.retransmits);
    out.optional(E::kSynRetransmitsFieldNumber, c.syn_retransmits);
    out.optional(E::kSynackRetransmitsFieldNumber, c.synack_retransmits);
    out.optional(E::kRtoCountFieldNumber, t.rto_count);
    put(E::kBytesRetransmittedFieldNumber, t.bytes_retransmitted);
    put(E::kLostFieldNumber, t.lost);
    put(E::kReorderingFieldNumber, t.reordering);
    put(E::kDsackDuplicatesFieldNumber, t.dsack_duplicates);
    put(E::kOutOfOrderInFieldNumber, t.out_of_order_in);
    out.optional(E::kRttUsFieldNumber, t.rtt_us);
    out.optional(E::kRttMinUsFieldNumber, t.rtt_min_us);
    out.optional(E::kRttVarUsFieldNumber, t.rtt_var_us);
    out.optional(E::kReceiveRttUsFieldNumber, t.receive_rtt_us);
    out.text(E::kCongestionFieldNumber, t.congestion);
    put(E::kCwndFieldNumber, t.cwnd);
    out.optional(E::kSsthreshFieldNumber, t.ssthresh);
    put(E::kMssFieldNumber, t.mss);
    out.optional(E::kDeliveryRateBpsFieldNumber, t.delivery_rate_bps);
    out.optional(E::kBusyUsFieldNumber, t.busy_us);
    out.optional(E::kReceiveWindowLimitedUsFieldNumber, t.receive_window_limited_us);
    out.optional(E::kSendBufferLimitedUsFieldNumber, t.send_buffer_limited_us);
    out.optional(E::kSendQueueBytesFieldNumber, t.send_queue_bytes);
    out.optional(E::kReceiveQueueBytesFieldNumber, t.receive_queue_bytes);
    put(E::kFastOpenFieldNumber, t.fast_open);
    put(E::kKeepaliveFieldNumber, t.keepalive);
    out.optional(E::kKeepaliveIdleSecsFieldNumber, t.keepalive_idle_secs);
    put(E::kMptcpFieldNumber, t.mptcp);
    put(E::kNodelayFieldNumber, t.nodelay);
}

void put_partial(WireWriter& out, uint32_t bits) {
    if (!bits) return;
    const size_t partial = out.begin(E::kPartialFieldNumber);
    for (int bit = 1; bit <= v1::Partial_MAX; ++bit)
        if (bits & (1u << bit)) out.packed(static_cast<uint64_t>(bit));
    out.end(partial);
}

void put_retransmit_kinds(WireWriter& out, const Traffic& t) {
    out.optional(E::kFastRetransmitsFieldNumber, t.fast_retransmits);
    out.optional(E::kTimeoutRetransmitsFieldNumber, t.timeout_retransmits);
    out.optional(E::kProbeRetransmitsFieldNumber, t.probe_retransmits);
    out.optional(E::kFinRetransmitsFieldNumber, t.fin_retransmits);
}

// Without the zone: the two ends of a link-local connection name their interfaces differently.
void set_key(std::string& key, std::string_view local, uint32_t local_port, std::string_view remote,
             uint32_t remote_port) {
    const auto append = [](std::string& to, std::string_view address, uint32_t port) {
        char digits[10];
        const auto end = std::to_chars(digits, digits + sizeof digits, port).ptr;
        to.append(address.substr(0, address.find('%'))).append(1, ' ').append(digits, end);
    };
    // Of the two the smaller is first.
    key.clear();
    append(key, local, local_port);
    const size_t length = key.size();
    key += ' ';
    append(key, remote, remote_port);
    if (std::string_view(key).substr(length + 1) >= std::string_view(key).substr(0, length)) return;
    key.clear();
    append(key, remote, remote_port);
    key += ' ';
    append(key, local, local_port);
}

}  // namespace

uint64_t boot_number(const std::string& host_id, const std::string& boot_id) {
    const std::string both = host_id + boot_id;
    return XXH3_64bits(both.data(), both.size()) >> 16;
}

std::string connection_id(uint64_t boot, uint64_t cookie, uint64_t birth_ns) {
    const IdDigits digits = id_digits(boot, cookie, birth_ns);
    return {digits.data(), digits.size()};
}

EventEncoder::EventEncoder(const context::Host& host, uint64_t last_sequence)
    : sequence_(last_sequence), boot_(boot_number(host.host_id, host.boot_id)) {
    writer_.text(E::kHostIdFieldNumber, host.host_id);
    writer_.text(E::kNodeFieldNumber, host.node);
    writer_.text(E::kBootIdFieldNumber, host.boot_id);
    writer_.text(E::kRunIdFieldNumber, host.run_id);
    host_ = writer_.bytes();
}

Message& EventEncoder::encode_message(const Connection& c, const context::Identity& identity,
                                      uint64_t now_unix_nanos) {
    WireWriter& out = writer_;
    out.clear();
    out.fields(host_);
    out.present(E::kSequenceFieldNumber, ++sequence_);
    out.implicit(E::kEmittedUnixNanosFieldNumber, now_unix_nanos);
    out.implicit(E::kKindFieldNumber, static_cast<uint64_t>(c.kind));
    const IdDigits id = id_digits(boot_, c.cookie, c.birth_ns);
    out.text(E::kConnectionIdFieldNumber, {id.data(), id.size()});
    out.implicit(E::kRoleFieldNumber, static_cast<uint64_t>(c.role));
    std::string local, remote;
    uint16_t local_port = 0, remote_port = 0;
    if (c.has_addresses) {
        out.present(E::kFamilyFieldNumber, c.ipv6 ? v1::FAMILY_IPV6 : v1::FAMILY_IPV4);
        // An attempt may end before it has a local address; the port is then of an earlier one.
        if (c.local.address != decltype(c.local.address){}) {
            local = address_text(c.local, c.ipv6, c.ifindex);
            local_port = c.local.port;
            out.text(E::kLocalAddressFieldNumber, local);
            out.implicit(E::kLocalPortFieldNumber, local_port);
        }
        remote = address_text(c.remote, c.ipv6, c.ifindex);
        remote_port = c.remote.port;
        out.text(E::kRemoteAddressFieldNumber, remote);
        out.implicit(E::kRemotePortFieldNumber, remote_port);
        out.implicit(E::kRemoteScopeFieldNumber, static_cast<uint64_t>(c.remote_scope));
        out.implicit(E::kNetnsFieldNumber, c.netns);
    }
    put_process(out, c, identity);
    put_kubernetes(out, identity);
    put_fate(out, c);
    put_times(out, c);
    put_traffic(out, c);
    put_partial(out, c.partial | identity.unknown);
    if (c.traffic) put_retransmit_kinds(out, *c.traffic);

    message_.topic = Topic::connections;
    message_.earlier_ns = 0;
    message_.value = out.bytes();
    set_key(message_.key, local, local_port, remote, remote_port);
    return message_;
}

const v1::ConnectionEvent& EventEncoder::encode(const Connection& connection,
                                                const context::Identity& identity, uint64_t now_unix_nanos) {
    event_.ParseFromString(encode_message(connection, identity, now_unix_nanos).value);
    return event_;
}

Message to_message(const v1::ConnectionEvent& event) {
    Message message;
    message.topic = Topic::connections;
    set_key(message.key, event.local_address(), event.local_port(), event.remote_address(),
            event.remote_port());
    event.SerializeToString(&message.value);
    return message;
}

std::string address_text(const connections::Endpoint& endpoint, bool ipv6, uint32_t ifindex) {
    char text[INET6_ADDRSTRLEN] = "";
    if (!ipv6) {
        // inet_ntop() takes ten times as long.
        char* end = text;
        for (size_t i = 0; i < 4; ++i) {
            if (i > 0) *end++ = '.';
            end = std::to_chars(end, text + sizeof text, endpoint.address[i]).ptr;
        }
        return {text, end};
    }
    inet_ntop(AF_INET6, endpoint.address.data(), text, sizeof text);
    const bool link_local = endpoint.address[0] == 0xfe && (endpoint.address[1] & 0xc0) == 0x80;
    if (!link_local || !ifindex) return text;
    return std::string(text) + "%" + std::to_string(ifindex);
}

}  // namespace tcptrail::encode
