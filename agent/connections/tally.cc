// SPDX-License-Identifier: Apache-2.0
#include "agent/connections/tally.h"

#include <sys/socket.h>
#include <xxhash.h>

#include "agent/connections/addresses.h"

namespace tcptrail::connections {

namespace {

constexpr size_t most_destinations = 16384;
constexpr uint64_t slice_ns = 5'000'000'000;  // twelve of them are TCP_TIMEWAIT_LEN

// Whether the kernel counts it as an open: a client's does when its SYN is sent. Of one whose beginning was
// not seen it is not known whether that came before the capture.
bool is_counted(const Connection& c) {
    if (c.partial & (began_before_capture | birth_missed)) return false;
    if (c.role != Role::client || c.partial & end_missed) return true;
    return c.traffic && c.traffic->segments_out;
}

}  // namespace

size_t Tally::Hash::operator()(const Destination& d) const {
    return XXH3_64bits_withSeed(d.remote.address.data(), d.remote.address.size(),
                                uint64_t{d.netns} << 16 | d.remote.port);
}

void Tally::count(Counts& counts, const Destination& destination) {
    const auto known = counts.find(destination);
    if (known != counts.end())
        ++known->second;
    else if (counts.size() < most_destinations)
        counts.emplace(destination, 1);
}

void Tally::add(const Connection& c, uint64_t now_ns) {
    if (c.kind != Kind::closed) return;
    if (is_counted(c)) ++namespaces_[c.netns].ended;
    if (c.role != Role::client || (c.end != End::local_close && c.end != End::simultaneous_close)) return;
    const uint64_t number = now_ns / slice_ns;
    Slice& slice = closed_[number % closed_.size()];
    if (slice.number != number) slice = {number, {}};
    count(slice.counts, {c.netns, c.ipv6, c.remote});
}

void Tally::clear_open() {
    for (auto& [netns, counts] : namespaces_)
        counts.open = counts.all_open = 0;
    open_.clear();
}

void Tally::add_open(const tcptrail_open& open) {
    Namespace& space = namespaces_[open.netns];
    ++space.all_open;
    if (!(open.flags & TCPTRAIL_BIRTH_ADOPTED)) ++space.open;
    if (open.role != TCPTRAIL_ROLE_CLIENT || !open.family) return;
    Connection end;
    tcptrail_addresses addresses{};
    std::copy(std::begin(open.remote), std::end(open.remote), addresses.remote);
    addresses.remote_port = open.remote_port;
    addresses.family = open.family;
    set_addresses(end, addresses);
    count(open_, {open.netns, end.ipv6, end.remote});
}

void Tally::keep_only(const std::unordered_set<uint32_t>& netns) {
    std::erase_if(namespaces_, [&](const auto& entry) { return !netns.contains(entry.first); });
}

uint64_t Tally::lifecycles(uint32_t netns) const {
    const auto known = namespaces_.find(netns);
    return known == namespaces_.end() ? 0 : known->second.ended + known->second.open;
}

uint64_t Tally::open(uint32_t netns) const {
    const auto known = namespaces_.find(netns);
    return known == namespaces_.end() ? 0 : known->second.all_open;
}

std::vector<DestinationUse> Tally::destinations(uint64_t now_ns) const {
    std::unordered_map<Destination, DestinationUse, Hash> uses;
    for (const auto& [destination, number] : open_)
        uses[destination].open += number;
    for (const Slice& slice : closed_)
        if (slice.number + closed_.size() > now_ns / slice_ns)
            for (const auto& [destination, number] : slice.counts)
                uses[destination].time_wait += number;
    std::vector<DestinationUse> result;
    for (auto& [destination, use] : uses) {
        use.destination = destination;
        result.push_back(use);
    }
    return result;
}

}  // namespace tcptrail::connections
