// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/connection_metrics.h"

#include <fmt/format.h>
#include <time.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

#include "agent/encode/event.h"
#include "agent/encode/printable.h"

namespace tcptrail::serve {

namespace {

using connections::Connection;
using connections::End;
using connections::Kind;
using connections::Outcome;
using connections::Role;

constexpr const char* role_names[] = {"unknown", "client", "server"};
constexpr const char* scope_names[] = {"", "loopback", "link_local", "private", "public"};
// By the numbers of the enums. Null: no failure, or no end of a connection.
constexpr const char* outcome_names[] = {
    "unknown",   nullptr,         "refused", "timed_out", "host_unreachable", "network_unreachable",
    "abandoned", "no_local_port", "denied",  "other"};
constexpr const char* end_names[] = {
    "unknown",     "local_close",  "remote_close",       "simultaneous_close",
    "local_reset", "remote_reset", "retransmit_timeout", "keepalive_timeout",
    "killed"};
constexpr size_t all_roles = std::size(role_names), all_ends = std::size(end_names);
constexpr size_t failures = std::size(outcome_names) - 1;

// In seconds. SYNs are sent again after 1, 3 and 7 s; what lives for minutes, and ends idle, is a pool's.
constexpr double connect_bounds[] = {0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 3, 10};
constexpr double rtt_bounds[] = {0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1};
constexpr double lifetime_bounds[] = {0.001, 0.01, 0.1, 1, 10, 60, 300, 900, 3600, 14400, 86400};
constexpr double accept_wait_bounds[] = {0.00001, 0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30};
constexpr double idle_bounds[] = {0.001, 0.01, 0.1, 1, 5, 15, 60, 120, 300, 900, 3600};

struct HistogramFamily {
    const char* name;
    const char* help;
    std::span<const double> bounds;
};
constexpr HistogramFamily histogram_families[] = {
    {"tcptrail_connection_connect_seconds",
     "From the SYN to established, of a server's end from its SYN-ACK; as opened is counted.",
     connect_bounds},
    {"tcptrail_connection_rtt_seconds", "Smoothed round-trip time at the end of connections.", rtt_bounds},
    {"tcptrail_connection_duration_seconds", "From established to the end of connections.", lifetime_bounds},
    {"tcptrail_connection_idle_at_end_seconds",
     "How long nothing had crossed connections that had carried data when they ended.", idle_bounds},
    {"tcptrail_connection_accept_wait_seconds",
     "From established to accept(), of servers' connections; counted at their end.", accept_wait_bounds},
    {"tcptrail_connection_idle_at_reset_seconds",
     "Of connection_idle_at_end_seconds those that a reset by the peer ended.", idle_bounds},
};
static_assert(std::size(histogram_families) == std::size(histogram_names));

constexpr std::string_view other = "other";

// A label's value of an event, to `use`.
template <class Use>
void value_of(Label label, const Connection& c, const context::Identity& identity, Use use) {
    // Without a role it is not known which of the ends is the server's.
    const connections::Endpoint* server = c.role == Role::client   ? &c.remote
                                          : c.role == Role::server ? &c.local
                                                                   : nullptr;
    if (!c.has_addresses) server = nullptr;
    switch (label) {
        case Label::process:
            return use(c.owner.name);
        case Label::container_id:
            return use(identity.container_id);
        case Label::cgroup:
            return use(identity.cgroup_path);
        case Label::server_address:
            return server ? use(server->address, c.ipv6) : use(std::string_view());
        case Label::server_port:
            return server ? use(server->port) : use(std::string_view());
        case Label::remote_scope:
            return use(std::string_view(scope_names[static_cast<size_t>(c.remote_scope)]));
        case Label::netns:
            return use(c.netns);
        case Label::systemd_unit:
            return use(identity.systemd_unit);
        case Label::container_name:
            return use(identity.container_name);
        case Label::k8s_namespace:
            return use(identity.pod.name_space);
        case Label::k8s_pod:
            return use(identity.pod.pod);
        case Label::k8s_container:
            return use(identity.pod.container);
        case Label::k8s_workload:
            return use(identity.pod.workload);
        case Label::k8s_workload_kind:
            return use(identity.pod.workload_kind);
    }
}

// Nearly every text is ASCII, and then nothing is copied.
std::string_view valid(std::string_view text, std::string& room) {
    if (encode::is_ascii(text)) return text;
    return room = encode::repaired_utf8(text);
}

// What no other value has: equal keys have equal labels, and the other way round.
struct ToKey {
    std::string& key;

    void operator()(std::string_view text) const {
        std::string room;
        text = valid(text, room).substr(0, UINT16_MAX);
        number(static_cast<uint16_t>(text.size()));
        key += text;
    }
    void operator()(const std::array<uint8_t, 16>& address, bool ipv6) const {
        key += ipv6 ? '6' : '4';
        key.append(reinterpret_cast<const char*>(address.data()), address.size());
    }
    template <class Number>
        requires std::is_integral_v<Number>
    void operator()(Number value) const {
        key += '#';
        number(value);
    }
    template <class Number>
    void number(Number value) const {
        char bytes[sizeof value];
        std::memcpy(bytes, &value, sizeof value);
        key.append(bytes, sizeof bytes);
    }
};

struct ToLabel {
    Labels& labels;
    const char* name;

    void operator()(std::string_view text) const {
        std::string room;
        labels.add(name, valid(text, room).substr(0, UINT16_MAX));
    }
    void operator()(const std::array<uint8_t, 16>& address, bool ipv6) const {
        labels.add(name, encode::address_text({address, 0}, ipv6, 0));
    }
    template <class Number>
        requires std::is_integral_v<Number>
    void operator()(Number value) const {
        labels.add(name, fmt::format("{}", value));
    }
};

size_t series_per_set(const MetricsOptions& options) {
    constexpr size_t opened = 1, segments = 3, bytes = 2;
    size_t series = opened + failures + all_ends + segments + bytes;
    for (const Histogram which : options.histograms)
        series += histogram_families[static_cast<size_t>(which)].bounds.size() + 3;  // +Inf, sum, count
    return series;
}

// For each event: a tick's exactness costs a tenth of the exact time.
uint64_t coarse_nanos() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

std::string with(const std::string& labels, const char* name, const char* value) {
    return labels + ',' + Labels().add(name, value).text();
}

}  // namespace

size_t ConnectionMetrics::Hash::operator()(std::string_view key) const {
    return XXH3_64bits(key.data(), key.size());
}

ConnectionMetrics::ConnectionMetrics(const MetricsOptions& options)
    : ConnectionMetrics(options, coarse_nanos) {}

ConnectionMetrics::ConnectionMetrics(const MetricsOptions& options, Clock clock)
    : options_(options), clock_(clock) {
    static_assert(roles == all_roles && outcomes == std::size(outcome_names) && ends == all_ends);
    const size_t sets = options.max_series / series_per_set(options);
    most_sets_ = options.labels.empty() ? 0 : sets - std::min(sets, roles);
    for (size_t role = 0; role < roles; ++role) {
        Labels labels;
        labels.add("role", role_names[role]);
        for (const Label label : options.labels)
            labels.add(label_names[static_cast<size_t>(label)], other);
        others_[role].labels = labels.text();
    }
}

void ConnectionMetrics::reconfigure(const MetricsOptions& options) {
    if (options.labels == options_.labels && options.histograms == options_.histograms &&
        options.max_series == options_.max_series)
        return;
    *this = ConnectionMetrics(options, clock_);
}

void ConnectionMetrics::make_key(const Connection& connection, const context::Identity& identity) {
    key_.assign(1, static_cast<char>(connection.role));
    for (const Label label : options_.labels)
        value_of(label, connection, identity, ToKey{key_});
}

std::string ConnectionMetrics::labels_of(const Connection& connection,
                                         const context::Identity& identity) const {
    Labels labels;
    labels.add("role", role_names[static_cast<size_t>(connection.role)]);
    for (const Label label : options_.labels)
        value_of(label, connection, identity, ToLabel{labels, label_names[static_cast<size_t>(label)]});
    return labels.text();
}

ConnectionMetrics::Set* ConnectionMetrics::known_set_of(const Connection& connection,
                                                        const context::Identity& identity) {
    make_key(connection, identity);
    const auto known = by_key_.find(std::string_view(key_));
    if (known == by_key_.end()) return nullptr;
    sets_.splice(sets_.begin(), sets_, known->second);
    known->second->heard_ns = clock_();
    return &*known->second;
}

bool ConnectionMetrics::has_room(uint64_t now_ns) const {
    if (sets_.size() < most_sets_) return true;
    return !sets_.empty() && now_ns - sets_.back().heard_ns >= silent_for_ns;
}

ConnectionMetrics::Set* ConnectionMetrics::set_of(const Connection& connection,
                                                  const context::Identity& identity) {
    Set& others = others_[static_cast<size_t>(connection.role)];
    if (options_.labels.empty()) return &others;
    if (Set* known = known_set_of(connection, identity)) return known;
    const uint64_t now = clock_();
    if (!has_room(now)) return nullptr;
    std::string labels = labels_of(connection, identity);
    // A process may really be called so.
    if (labels == others.labels) return &others;
    if (sets_.size() >= most_sets_) {
        by_key_.erase(sets_.back().key);
        sets_.pop_back();
        ++replaced_;
    }
    Set& set = sets_.emplace_front();
    set.key = key_;
    set.labels = std::move(labels);
    set.heard_ns = now;
    by_key_.emplace(key_, sets_.begin());
    return &set;
}

void ConnectionMetrics::observe(Set& set, Histogram which, uint64_t us) const {
    Distribution& distribution = set.distributions[static_cast<size_t>(which)];
    const auto& bounds = histogram_families[static_cast<size_t>(which)].bounds;
    const auto bucket = std::ranges::lower_bound(bounds, static_cast<double>(us) / 1e6);
    ++distribution.counts[static_cast<size_t>(bucket - bounds.begin())];
    distribution.sum_us += us;
}

void ConnectionMetrics::add(const Connection& c, const context::Identity& identity) {
    const bool is_new = !c.told_before, is_closed = c.kind == Kind::closed;
    if (!is_new && !is_closed) {
        // It adds nothing, and says that its set is in use.
        if (!options_.labels.empty()) known_set_of(c, identity);
        return;
    }
    const bool established = c.outcome == Outcome::established;
    if (!established && !is_closed) return;
    Set* const own = set_of(c, identity);
    if (!own && is_closed) ++other_ends_;
    Set& set = own ? *own : others_[static_cast<size_t>(c.role)];
    if (established && is_new) {
        ++set.opened;
        if (c.connect_us) observe(set, Histogram::connect, *c.connect_us);
    }
    if (!is_closed) return;
    set.syn_retransmits += c.syn_retransmits.value_or(0) + c.synack_retransmits.value_or(0);
    if (c.traffic) {
        set.data_segments += c.traffic->data_segments_out;
        set.retransmits += c.traffic->retransmits;
        set.bytes_sent += c.traffic->bytes_sent;
        set.bytes_received += c.traffic->bytes_received;
    }
    if (!established) {
        ++set.failed[static_cast<size_t>(c.outcome)];
        return;
    }
    ++set.ended[c.end == End::not_established ? 0 : static_cast<size_t>(c.end)];
    if (c.traffic && c.traffic->rtt_us) observe(set, Histogram::rtt, *c.traffic->rtt_us);
    if (c.lifetime_us) observe(set, Histogram::lifetime, *c.lifetime_us);
    if (c.idle_us) observe(set, Histogram::idle, *c.idle_us);
    if (c.idle_us && c.end == End::remote_reset) observe(set, Histogram::idle_at_reset, *c.idle_us);
    if (c.accept_wait_us) observe(set, Histogram::accept_wait, *c.accept_wait_us);
}

template <class Each>
void ConnectionMetrics::each_set(Each each) const {
    for (const Set& set : others_)
        each(set);
    for (const Set& set : sets_)
        each(set);
}

void ConnectionMetrics::write(Exposition& to) const {
    to.counter(
        "tcptrail_connections_opened_total",
        "Connections that were established, counted when they are told of first: at their end, or before.");
    each_set([&](const Set& set) { to.integer(set.labels, set.opened); });
    to.counter("tcptrail_connections_failed_total", "Attempts to connect that failed, by outcome.");
    each_set([&](const Set& set) {
        for (size_t i = 0; i < outcomes; ++i)
            if (outcome_names[i]) to.integer(with(set.labels, "outcome", outcome_names[i]), set.failed[i]);
    });
    to.counter("tcptrail_connections_ended_total",
               "Established connections that ended, by who ended them and how.");
    each_set([&](const Set& set) {
        for (size_t i = 0; i < ends; ++i)
            to.integer(with(set.labels, "end", end_names[i]), set.ended[i]);
    });
    to.counter("tcptrail_sent_data_segments_total",
               "Segments sent with payload, those sent again among them, counted at the end of connections.");
    each_set([&](const Set& set) { to.integer(set.labels, set.data_segments); });
    to.counter("tcptrail_retransmitted_segments_total",
               "Segments sent again, SYNs among them, counted at the end of connections and attempts.");
    each_set([&](const Set& set) { to.integer(set.labels, set.retransmits); });
    to.counter("tcptrail_retransmitted_syns_total",
               "SYNs and SYN-ACKs sent again, counted at the end of connections and attempts.");
    each_set([&](const Set& set) { to.integer(set.labels, set.syn_retransmits); });
    to.counter("tcptrail_network_io_bytes_total", "Payload, counted at the end of connections.");
    each_set([&](const Set& set) {
        to.integer(with(set.labels, "network_io_direction", "transmit"), set.bytes_sent);
        to.integer(with(set.labels, "network_io_direction", "receive"), set.bytes_received);
    });
    for (const Histogram which : options_.histograms) {
        const HistogramFamily& family = histogram_families[static_cast<size_t>(which)];
        to.histogram(family.name, family.help);
        each_set([&](const Set& set) {
            const Distribution& distribution = set.distributions[static_cast<size_t>(which)];
            to.buckets(set.labels, family.bounds, distribution.counts,
                       static_cast<double>(distribution.sum_us) / 1e6);
        });
    }
}

void ConnectionMetrics::write_bound(Exposition& to) const {
    to.gauge("tcptrail_label_sets", "Sets of labels that have series of their own.");
    to.integer("", sets_.size());
    to.gauge("tcptrail_label_sets_limit", "How many sets serve.metrics.max_series has room for.");
    to.integer("", most_sets_);
    to.counter("tcptrail_label_sets_replaced_total",
               "Sets that gave way to a new one, after an hour in which nothing was heard of them.");
    to.integer("", replaced_);
    to.counter("tcptrail_other_ends_total",
               "Ends of connections and attempts that found no room, and are summed up as other.");
    to.integer("", other_ends_);
}

}  // namespace tcptrail::serve
