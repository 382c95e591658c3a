// SPDX-License-Identifier: Apache-2.0
//
// Which places in the kernel the capture attaches to, and what cannot be told without each.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/capture/options.h"

namespace tcptrail::capture {

// What a hook needs of the kernel besides the tracing of BTF tracepoints.
enum class Means {
    tracepoint,  // nothing
    iterator,    // nothing; runs only when it is asked
    by_key,      // nothing; what an iterator over a map tells, where the kernel refuses those
    trampoline,  // fexit; some kernels refuse it
    system_call  // a classic tracepoint: tracefs, perf_event_open(); what a trampoline tells as well
};

struct HookPlan {
    const char* name;          // as the kernel names it: tp_btf/inet_sock_set_state
    const char* program;       // in the BPF object
    const char* missing_fact;  // what cannot be told without it
    bool required;             // nothing can be told without it
    int arguments;             // that the program reads; the hook must pass at least as many
    int at_most;               // 0, or the program is meant for hooks that pass at most this many
    bool next_serves = false;  // where it does not fit the next entry does, and nothing is missing
    Means means = Means::tracepoint;
    const char* never_told = nullptr;  // what cannot be told even when it is attached
};

struct HookStatus {
    const HookPlan* plan = nullptr;
    bool attached = false;
    std::string problem;  // why it is not attached
    // Instructions that the verifier looked at, the measure of its limit of a million. 0: not loaded, or a
    // kernel before 5.16, which does not tell.
    uint32_t verified_instructions = 0;
};

// What cannot be told, and why.
struct MissingFact {
    std::string fact;
    std::string why;  // empty: the fact says that itself
};

// Each fact once: for hooks that are not attached, for capabilities that this process does not have, and for
// processes that it does not see.
std::vector<MissingFact> missing_facts(std::span<const HookStatus> hooks);

// In the order of attachment: the spine last, so that all that completes a birth is there before the
// first birth.
std::span<const HookPlan> hook_plan();

// What the running kernel's type information says.
struct KernelTypes {
    std::vector<int> arguments;              // by hook_plan()'s index; -1: there is no such place
    std::vector<std::string> reset_reasons;  // by number, without prefix; empty before Linux 6.10
    uint32_t tcp_sock_bytes = 0;             // 0: not told
};

// Reads the kernel's BTF. Fails with ExitCode::unavailable when there is none.
Result<KernelTypes> read_kernel_types(const Options& options);

}  // namespace tcptrail::capture
