// SPDX-License-Identifier: Apache-2.0
#include "agent/base/capabilities.h"

#include <sys/capability.h>

#include <memory>

namespace tcptrail {

namespace {

constexpr Capability useful[] = {
    {CAP_BPF, "CAP_BPF", true, "loads the programs and makes their maps", nullptr},
    {CAP_PERFMON, "CAP_PERFMON", true, "attaches the programs to tracepoints", nullptr},
    {CAP_SYS_PTRACE, "CAP_SYS_PTRACE", false, "without it: no executables of other users' processes",
     "executables of other users' processes"},
    {CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", false,
     "without it: nothing outlives the agent where /sys/fs/bpf is root's; no tracefs where the kernel "
     "refuses trampolines; a new container's cgroup may stay unknown for a second",
     "perhaps the cgroup of a container in its first second"},
    {CAP_SYS_NICE, "CAP_SYS_NICE", false,
     "without it: no capture.priority_boost, so that more overflows on a busy host", nullptr},
};

using Own = std::unique_ptr<_cap_struct, int (*)(void*)>;

}  // namespace

std::span<const Capability> useful_capabilities() {
    return useful;
}

bool has(const Capability& capability) {
    const Own own(cap_get_proc(), cap_free);
    const auto in_effect = [&](cap_value_t value) {
        cap_flag_value_t flag = CAP_CLEAR;
        return own && cap_get_flag(own.get(), value, CAP_EFFECTIVE, &flag) == 0 && flag == CAP_SET;
    };
    return in_effect(capability.value) || (capability.is_required && in_effect(CAP_SYS_ADMIN));
}

void use_permitted_capabilities() {
    const Own own(cap_get_proc(), cap_free);
    if (!own) return;
    for (cap_value_t capability = 0; capability <= CAP_LAST_CAP; ++capability) {
        cap_flag_value_t permitted = CAP_CLEAR;
        if (cap_get_flag(own.get(), capability, CAP_PERMITTED, &permitted) == 0 && permitted == CAP_SET)
            cap_set_flag(own.get(), CAP_EFFECTIVE, 1, &capability, CAP_SET);
    }
    (void)cap_set_proc(own.get());  // what is missing then, is told by whoever needs it
}

}  // namespace tcptrail
