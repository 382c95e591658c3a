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

struct HookPlan {
    const char* name;          // as the kernel names it: tp_btf/inet_sock_set_state
    const char* program;       // in the BPF object
    const char* missing_fact;  // what cannot be told without it
    bool required;             // nothing can be told without it
    int arguments;             // that the program reads; the hook must pass at least as many
    int at_most;               // 0, or the program is meant for hooks that pass at most this many
    bool next_serves = false;  // where it does not fit the next entry does, and nothing is missing
};

struct HookStatus {
    const HookPlan* plan = nullptr;
    bool attached = false;
    std::string problem;  // why it is not attached
};

// In the order of attachment: the spine last, so that all that completes a birth is there before the
// first birth.
std::span<const HookPlan> hook_plan();

// What the running kernel's type information says.
struct KernelTypes {
    std::vector<int> tracepoint_arguments;   // by hook_plan()'s index; -1: there is no such tracepoint
    std::vector<std::string> reset_reasons;  // by number, without prefix; empty before Linux 6.10
};

// Reads the kernel's BTF. Fails with ExitCode::unavailable when there is none.
Result<KernelTypes> read_kernel_types(const Options& options);

}  // namespace tcptrail::capture
