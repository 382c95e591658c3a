// SPDX-License-Identifier: Apache-2.0
//
// Programs that run when they are asked, over what is open.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "agent/capture/agent_maps.h"
#include "agent/capture/by_key.h"
#include "agent/capture/counts.h"
#include "agent/capture/programs.h"
#include "bpf/abi/config.h"
#include "bpf/abi/control.h"
#include "bpf/abi/listener.h"
#include "bpf/abi/record.h"
#include "bpf/abi/walk.h"
#include "tcp.skel.h"

namespace tcptrail::capture {

namespace {

template <class T>
std::span<std::byte> bytes_of(T& value) {
    return std::as_writable_bytes(std::span(&value, 1));
}

}  // namespace

Result<> Programs::scan() {
    if (!scan_) return {};
    for (uint32_t pass = 1; pass <= 2; ++pass) {
        object_->bss->scan_pass = pass;
        if (auto scanned = run_iterator(scan_.get(), "iter/task_file"); !scanned) return scanned;
    }
    return {};
}

Result<> Programs::adopt() {
    auto before = read_counters(counters_fd());
    if (!before) return std::unexpected(std::move(before.error()));
    if (auto scanned = scan(); !scanned) return scanned;
    auto after = read_counters(counters_fd());
    if (!after) return std::unexpected(std::move(after.error()));
    if ((*after)[TCPTRAIL_BIRTHS_ADOPTED] == (*before)[TCPTRAIL_BIRTHS_ADOPTED]) return {};
    // The end of a socket is told some instructions before its state changes.
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return sweep(nullptr);
}

bool Programs::is_loaded(const bpf_program* program) {
    return bpf_program__fd(program) >= 0;
}

Result<> Programs::sweep(const ElementConsumer& consumer) {
    object_->bss->sweep_writes_open = consumer != nullptr;
    tcptrail_by_key& shared = object_->bss->by_key;
    constexpr const char* name = "sweeping the connections";
    const ByKey by_key{bpf_program__fd(object_->progs.sweep_by_key), bytes_of(shared.key),
                       bytes_of(shared.birth), bytes_of(shared.open).data(), sizeof shared.open};
    if (is_loaded(object_->progs.sweep_by_key)) {
        shared.in_slot = 1;
        if (auto swept = run_by_slot(by_key, *slots_, name, consumer); !swept)
            return std::unexpected(std::move(swept.error()));
    }
    if (sweep_) return run_iterator(sweep_.get(), name, sizeof(tcptrail_open), consumer);
    if (!is_loaded(object_->progs.sweep_by_key)) return {};
    shared.in_slot = 0;
    auto swept = run_by_key(by_key, connections_fd(), name, consumer);
    return swept ? Result<>() : std::unexpected(std::move(swept.error()));
}

Result<> Programs::walk_connections(uint64_t untold_ns, const ElementConsumer& consumer,
                                    const BetweenReads& between) {
    object_->bss->walk_untold_ns = untold_ns;
    tcptrail_by_key& shared = object_->bss->by_key;
    constexpr const char* name = "walking the connections";
    const ByKey by_key{bpf_program__fd(object_->progs.walk_connections_by_key), bytes_of(shared.key),
                       bytes_of(shared.birth), bytes_of(shared.record).data(), sizeof shared.record};
    const bool has_by_key = is_loaded(object_->progs.walk_connections_by_key);
    // The agent's before ours: it saw the beginnings.
    shared.in_slot = 1;
    for (const std::optional<Slots>* slots : {&borrowed_slots_, &slots_})
        if (has_by_key && *slots)
            if (auto walked = run_by_slot(by_key, **slots, name, consumer, between); !walked || !*walked)
                return walked ? Result<>() : std::unexpected(std::move(walked.error()));
    for (const Link& link : walk_connections_)
        if (auto walked = run_iterator(link.get(), name, sizeof(tcptrail_record), consumer, between); !walked)
            return walked;
    if (!walk_connections_.empty() || !has_by_key) return {};
    shared.in_slot = 0;
    for (const int map : {borrowed(&AgentMaps::connections), connections_fd()})
        if (map >= 0)
            if (auto walked = run_by_key(by_key, map, name, consumer, between); !walked || !*walked)
                return walked ? Result<>() : std::unexpected(std::move(walked.error()));
    return {};
}

Result<> Programs::walk_listeners(const ElementConsumer& consumer) {
    tcptrail_by_key& shared = object_->bss->by_key;
    constexpr const char* name = "walking the listeners";
    for (const Link& link : walk_listeners_)
        if (auto walked = run_iterator(link.get(), name, sizeof(tcptrail_listener_record), consumer); !walked)
            return walked;
    if (!walk_listeners_.empty() || !is_loaded(object_->progs.walk_listeners_by_key)) return {};
    for (const int map : {borrowed(&AgentMaps::listeners), bpf_map__fd(object_->maps.listeners)})
        if (map >= 0)
            if (auto walked =
                    run_by_key({bpf_program__fd(object_->progs.walk_listeners_by_key), bytes_of(shared.key),
                                bytes_of(shared.listener), bytes_of(shared.listener_record).data(),
                                sizeof shared.listener_record},
                               map, name, consumer);
                !walked)
                return std::unexpected(std::move(walked.error()));
    return {};
}

Result<std::vector<tcptrail_task_netns>> Programs::tasks() {
    std::vector<tcptrail_task_netns> all;
    if (!walk_tasks_) return all;
    auto walked = run_iterator(walk_tasks_.get(), "walking the processes", sizeof(tcptrail_task_netns),
                               [&](std::span<const std::byte> element) {
                                   memcpy(&all.emplace_back(), element.data(), sizeof all.back());
                               });
    if (!walked) return std::unexpected(std::move(walked.error()));
    return all;
}

// -1: there is no agent, or it does not let us.
int Programs::borrowed(Fd AgentMaps::* map) const {
    return borrowed_ && *borrowed_ ? ((**borrowed_).*map).get() : -1;
}

// Before the programs are loaded, which look up details in that map then.
Result<> Programs::find_maps_of_agent() {
    const auto& maps = object_->maps;
    borrowed_ = find_agent_maps({maps.connections, maps.slots, maps.details, maps.listeners});
    if (!borrowed_ || !*borrowed_) return {};
    if (const int error = bpf_map__reuse_fd(maps.details, (*borrowed_)->details.get()))
        return fail_errno("the agent's map of details", -error);
    return {};
}

Result<> Programs::borrow_maps_of_agent() {
    if (!borrowed_) return std::unexpected(borrowed_.error());
    if (!*borrowed_) return {};
    auto slots = Slots::open((*borrowed_)->slots.get());
    if (!slots) return std::unexpected(std::move(slots.error()));
    borrowed_slots_.emplace(std::move(*slots));
    if (walk_connections_.empty()) return {};  // they are walked key by key
    Link connections, listeners;
    const AgentMaps& maps = **borrowed_;
    if (const int error =
            attach_map_iterator(connections, object_->progs.walk_connections, maps.connections.get()))
        return fail_errno("walking the agent's connections", error);
    if (const int error = attach_map_iterator(listeners, object_->progs.walk_listeners, maps.listeners.get()))
        return fail_errno("walking the agent's listeners", error);
    walk_connections_.insert(walk_connections_.begin(), std::move(connections));
    walk_listeners_.insert(walk_listeners_.begin(), std::move(listeners));
    return {};
}

}  // namespace tcptrail::capture
