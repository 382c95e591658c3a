// SPDX-License-Identifier: Apache-2.0
//
// What another program can do to ours, as root: write to the control map, remove or replace pins, close
// descriptors of links. bpf() detaches neither links of tracepoints nor those of perf events (EOPNOTSUPP),
// nor freezes a map that is mapped.
#include <unistd.h>

#include <cstring>
#include <utility>

#include "agent/base/clock.h"
#include "agent/capture/capture.h"
#include "agent/capture/handover.h"
#include "agent/capture/programs.h"
#include "bpf/abi/control.h"

namespace tcptrail::capture {

namespace {

constexpr size_t most_gaps = 64;
constexpr const char* advice = "; look for other programs with CAP_BPF, and for what cleans up ";

}  // namespace

Result<std::vector<std::string>> Capture::heartbeat() {
    const uint64_t now = monotonic_nanos(), before = std::exchange(beat_ns_, now);
    std::vector<std::string> problems;
    const auto add = [&](std::string problem) {
        if (!problem.empty()) problems.push_back(std::move(problem));
    };
    add(restore_control(before, now));
    auto links = restore_links(before, now);
    if (!links) return std::unexpected(std::move(links.error()));
    add(std::move(*links));
    add(restore_pins());
    if (std::exchange(stood_still_, false))
        if (auto adopted = adopt(); !adopted) return std::unexpected(std::move(adopted.error()));
    return problems;
}

// What began meanwhile, and what ended.
Result<> Capture::adopt() {
    if (auto swept = programs_->sweep(nullptr); !swept) return swept;
    return programs_->adopt();
}

std::string Capture::restore_control(uint64_t before_ns, uint64_t now_ns) {
    tcptrail_control& control = this->control();
    const uint32_t ours = programs_->generation();
    const uint32_t found = __atomic_load_n(&control.generation, __ATOMIC_RELAXED);
    const bool is_rewritten = control.last_generation != ours ||
                              control.abandon_after_ns != programs_->abandon_after_ns() ||
                              strncmp(control.run_id, run_id_.c_str(), sizeof control.run_id) != 0;
    __atomic_store_n(&control.heartbeat_ns, now_ns, __ATOMIC_RELAXED);
    if (found == ours && !is_rewritten) return {};
    const uint64_t silent_ns = programs_->abandon_after_ns();
    control.abandon_after_ns = silent_ns;
    control.last_generation = ours;
    control.agent_pid = static_cast<uint32_t>(getpid());
    set_run_id(std::string(run_id_));
    __atomic_store_n(&control.generation, ours, __ATOMIC_RELEASE);
    if (found == 0 && now_ns - before_ns > silent_ns) {
        std::string reason =
            "the programs had heard nothing of this process for " +
            std::to_string(silent_ns / 1'000'000'000) +
            " s and had switched themselves off: connections of that time are not told; give "
            "it processor time, or raise capture.abandon_after_secs";
        add_gap(before_ns + silent_ns, now_ns, reason);
        return reason;
    }
    const std::string what = "another program wrote to the control map of the programs";
    if (found == ours) return what + ", which is put right: tracing went on" + advice + options_.pin;
    std::string reason = what + ", which switched them off: connections of the last " +
                         std::to_string((now_ns - before_ns) / 1'000'000) + " ms may be missing" + advice +
                         options_.pin;
    add_gap(before_ns, now_ns, reason);
    return reason;
}

Result<std::string> Capture::restore_links(uint64_t before_ns, uint64_t now_ns) {
    const auto restored = programs_->restore_links();
    if (!restored) return std::unexpected(restored.error());
    if (*restored == 0) return std::string();
    std::string reason = "links of " + std::to_string(*restored) +
                         " programs were closed behind this process, and are attached again: connections of "
                         "the last " +
                         std::to_string((now_ns - before_ns) / 1'000'000) + " ms may be missing" + advice +
                         options_.pin;
    add_gap(before_ns, now_ns, reason);
    return reason;
}

std::string Capture::restore_pins() {
    const std::string before = programs_->pin_problem();
    const size_t restored = programs_->restore_pins();
    const std::string& problem = programs_->pin_problem();
    if (!problem.empty())
        return problem == before ? std::string()
                                 : "pins of the programs were removed by another program and cannot be made "
                                   "again (" +
                                       problem + "): tracing ends with this process; mend " + options_.pin +
                                       ", then restart the agent";
    if (restored == 0) return {};
    return std::to_string(restored) + " of " + std::to_string(programs_->pinned()) + " pins in " +
           options_.pin +
           " were removed by another program, and are there again: nothing is missing, but without this "
           "process tracing would have ended" +
           advice + options_.pin;
}

void Capture::add_gap(uint64_t from_ns, uint64_t until_ns, std::string reason) {
    const uint64_t to_unix = unix_nanos() - monotonic_nanos();
    stood_still_ = true;
    if (gaps_.size() == most_gaps) gaps_.pop_front();
    gaps_.push_back({from_ns + to_unix, until_ns + to_unix, std::move(reason)});
}

}  // namespace tcptrail::capture
