// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/snapshot.h"

#include <span>
#include <utility>

#include "agent/capture/counts.h"
#include "agent/capture/decode.h"
#include "agent/capture/programs.h"

namespace tcptrail::capture {

Snapshot::~Snapshot() = default;

Result<std::unique_ptr<Snapshot>> Snapshot::take(const Options& options) {
    std::unique_ptr<Snapshot> snapshot(new Snapshot);
    auto programs = Programs::load(options, Purpose::look);
    if (!programs) return std::unexpected(std::move(programs.error()));
    snapshot->programs_ = std::move(*programs);
    for (const HookStatus& hook : snapshot->programs_->hooks())
        if (!hook.attached)
            return fail(
                std::string("the kernel does not let us look: ") + hook.plan->program + ": " + hook.problem,
                ExitCode::unavailable);
    if (auto scanned = snapshot->programs_->scan(); !scanned)
        return std::unexpected(std::move(scanned.error()));
    if (auto borrowed = snapshot->programs_->borrow_maps_of_agent(); !borrowed)
        snapshot->agent_problem_ = borrowed.error().message;
    return snapshot;
}

Result<> Snapshot::connections(const std::function<void(const tcptrail_record&)>& consumer) {
    std::unordered_set<uint64_t> seen;  // cookies
    Result<> result;
    auto walked = programs_->walk_connections(0, [&](std::span<const std::byte> element) {
        tcptrail_record room;
        const auto record = decode(element, room);
        if (!record)
            result = std::unexpected(record.error());
        else if (seen.insert((*record)->birth.cookie).second)
            consumer(**record);
    });
    return walked ? result : walked;
}

Result<> Snapshot::listeners(const std::function<void(const tcptrail_listener_record&)>& consumer) {
    std::unordered_set<uint64_t> seen;
    Result<> result;
    auto walked = programs_->walk_listeners([&](std::span<const std::byte> element) {
        const auto record = decode_listener(element);
        if (!record)
            result = std::unexpected(record.error());
        else if (seen.insert((*record)->listener.cookie).second)
            consumer(**record);
    });
    return walked ? result : walked;
}

Result<std::vector<tcptrail_task_netns>> Snapshot::tasks() {
    return programs_->tasks();
}

Result<uint64_t> Snapshot::left_out() const {
    const auto counts = read_counters(programs_->counters_fd());
    if (!counts) return std::unexpected(counts.error());
    return (*counts)[TCPTRAIL_BIRTHS_NOT_STORED] + (*counts)[TCPTRAIL_LISTENERS_NOT_STORED];
}

uint32_t Snapshot::hz() const {
    return kernel_hz();
}

const std::vector<std::string>& Snapshot::reset_reasons() const {
    return programs_->reset_reasons();
}

}  // namespace tcptrail::capture
