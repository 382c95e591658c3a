// SPDX-License-Identifier: Apache-2.0
#include "agent/audit.h"

#include <sys/stat.h>

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "agent/base/clock.h"
#include "agent/encode/event.h"

namespace tcptrail {

namespace {

constexpr size_t most_namespaces = 256;
constexpr size_t most_destinations = 64;
// A new namespace for which the kernel has counted so much more than was told has a history from when no
// process was in it; one for which it has counted less has the inode of another that went as quickly as it
// came. Both are compared from then on.
constexpr double least_ratio_of_new = 0.9;

}  // namespace

Audit::Audit(Pipeline& pipeline, std::string proc) : pipeline_(pipeline), proc_(std::move(proc)) {
    struct stat own{};
    own_netns_ = stat("/proc/self/ns/net", &own) == 0 ? static_cast<uint32_t>(own.st_ino) : 0;
}

Result<> Audit::find_namespaces() {
    const auto tasks = pipeline_.capture().tasks();
    if (!tasks) return std::unexpected(tasks.error());
    for (auto& [netns, space] : namespaces_)
        space.alive = space.is_new = false;
    for (const tcptrail_task_netns& task : *tasks) {
        Namespace& space = namespaces_[task.netns];
        if (space.alive) continue;
        // The process may be gone by now: the next one in the same namespace will do.
        const auto counts = context::read_namespace_counts(proc_, task.pid);
        if (!counts) continue;
        if (space.cookie != task.netns_cookie) {  // a new one, perhaps with the inode of one that is gone
            if (space.cookie) leave(space);
            space = {};
            space.cookie = task.netns_cookie;
            space.is_new = true;
        }
        space.alive = true;
        space.pid = task.pid;
        space.port_first = task.port_first;
        space.port_last = task.port_last;
        space.counts = *counts;
    }
    return {};
}

Result<> Audit::find_open() {
    if (auto drained = pipeline_.drain(); !drained) return std::unexpected(std::move(drained.error()));
    connections::Tally& tally = pipeline_.tally();
    tally.clear_open();
    if (const auto counts = pipeline_.capture().counts()) ignored_ = (*counts)[TCPTRAIL_IGNORED];
    return pipeline_.capture().sweep([&](const tcptrail_open& open) { tally.add_open(open); });
}

// The kernel counts the agent's own connections too.
uint64_t Audit::told_of(uint32_t netns) const {
    return pipeline_.tally().lifecycles(netns) + (netns == own_netns_ ? ignored_ : 0);
}

// While connections come and go our count and the kernel's cannot be taken at the same instant: the kernel's
// is taken before and after ours, now and where counting began, and where ours lies between them they agree.
void Audit::compare(uint32_t netns, Namespace& space) {
    const uint64_t told = told_of(netns), before = space.counts.opens;
    const uint64_t after = std::max(before, context::read_opens(proc_, space.pid).value_or(before));
    if (space.is_new) {
        const bool begins_now = first_look_ || told > after ||
                                static_cast<double>(told) < least_ratio_of_new * static_cast<double>(before);
        space.first_told = begins_now ? told : 0;
        space.first_before = begins_now ? before : 0;
        space.first_after = begins_now ? after : 0;
    }
    space.told = told - std::min(told, space.first_told);
    const uint64_t least = before - std::min(before, space.first_after), most = after - space.first_before;
    space.counted = std::clamp(space.told, least, most);
}

void Audit::leave(const Namespace& space) {
    gone_told_ += space.told;
    gone_counted_ += space.counted;
}

Result<> Audit::look() {
    // What waits in the ring is neither told nor open: where there is always more, what the look before found
    // stands.
    const auto drained = pipeline_.drain();
    if (!drained) return std::unexpected(drained.error());
    if (*drained != Pipeline::Drained::all) return {};
    if (auto found = find_namespaces(); !found) return found;
    if (auto found = find_open(); !found) return found;
    std::erase_if(namespaces_, [this](const auto& entry) {
        if (!entry.second.alive) leave(entry.second);
        return !entry.second.alive;
    });
    std::unordered_set<uint32_t> alive;
    for (auto& [netns, space] : namespaces_) {
        compare(netns, space);
        alive.insert(netns);
    }
    pipeline_.tally().keep_only(alive);
    add_up();
    first_look_ = false;
    return {};
}

// What was open at one look and is not seen at the next may be told only after it: then there is less for a
// moment, which to whoever reads a counter is a new one from 0.
void Audit::add_up() {
    uint64_t told = gone_told_, counted = gone_counted_;
    for (const auto& [netns, space] : namespaces_) {
        told += space.told;
        counted += space.counted;
    }
    told_ = std::max(told_, told);
    counted_ = std::max(counted_, counted);
}

void Audit::fill(v1::AgentReport& report) const {
    if (counted_) report.set_capture_ratio(static_cast<double>(told_) / static_cast<double>(counted_));
    if (!first_look_) {
        report.set_lifecycles_told(told_);
        report.set_lifecycles_counted(counted_);
    }
    fill_namespaces(report);
    fill_destinations(report);
}

void Audit::fill_namespaces(v1::AgentReport& report) const {
    std::vector<std::pair<uint32_t, const Namespace*>> all;
    for (const auto& [netns, space] : namespaces_)
        all.emplace_back(netns, &space);
    const size_t shown = std::min(all.size(), most_namespaces);
    std::ranges::partial_sort(all, all.begin() + static_cast<ptrdiff_t>(shown), std::greater{},
                              [](const auto& entry) { return entry.second->counted; });
    for (size_t i = 0; i < shown; ++i) {
        const Namespace& space = *all[i].second;
        v1::Namespace& told = *report.add_namespaces();
        told.set_netns(all[i].first);
        told.set_lifecycles_told(space.told);
        told.set_lifecycles_counted(space.counted);
        if (space.counts.time_wait) told.set_time_wait(*space.counts.time_wait);
        if (space.counts.listen_overflows) told.set_listen_overflows(*space.counts.listen_overflows);
        if (space.counts.listen_drops) told.set_listen_drops(*space.counts.listen_drops);
        if (space.counts.syncookies_sent) told.set_syncookies_sent(*space.counts.syncookies_sent);
        told.set_local_port_first(space.port_first);
        told.set_local_port_last(space.port_last);
        told.set_open(pipeline_.tally().open(all[i].first));
    }
    report.set_namespaces_untold(static_cast<uint32_t>(all.size() - shown));
}

void Audit::fill_destinations(v1::AgentReport& report) const {
    auto uses = pipeline_.tally().destinations(boot_nanos());
    const size_t shown = std::min(uses.size(), most_destinations);
    std::ranges::partial_sort(uses, uses.begin() + static_cast<ptrdiff_t>(shown), std::greater{},
                              [](const auto& use) { return use.open + use.time_wait; });
    for (size_t i = 0; i < shown; ++i) {
        const auto& [destination, open, time_wait] = uses[i];
        v1::Destination& told = *report.add_destinations();
        told.set_netns(destination.netns);
        told.set_remote_address(encode::address_text(destination.remote, destination.ipv6, 0));
        told.set_remote_port(destination.remote.port);
        told.set_open(open);
        const auto space = namespaces_.find(destination.netns);
        const bool known = space != namespaces_.end();
        // Ports in TIME_WAIT may be used again early (tcp_tw_reuse), or be freed (tcp_max_tw_buckets).
        const uint64_t holding =
            known ? std::min(time_wait, space->second.counts.time_wait.value_or(time_wait)) : time_wait;
        told.set_time_wait(holding);
        if (!known) continue;
        const uint32_t ports = space->second.port_last - space->second.port_first + 1;
        told.set_port_range_use(static_cast<double>(open + holding) / ports);
    }
}

}  // namespace tcptrail
