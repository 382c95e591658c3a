/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whether the programs are to do their work. Pinned programs outlive their agent. A new agent attaches its
 * own beside them, and then changes the generation: from one event to the next they take over, so that
 * nothing is told twice and nothing is missed. And programs whose agent does not come back must not cost the
 * host anything.
 */
#ifndef TCPTRAIL_LIB_CONTROL_BPF_H
#define TCPTRAIL_LIB_CONTROL_BPF_H

#include "bpf/maps.bpf.h"

/* Each hook asks this first. */
static __always_inline bool control_is_ours(void) {
    return *(volatile __u32*)&control.generation == config.generation;
}

/*
 * The dead man's switch. CLOCK_MONOTONIC stands still while the host sleeps: the agent slept too. Signed: the
 * agent may have written its time after we took ours.
 */
static __always_inline void control_look_for_agent(__u64 monotonic) {
    __s64 silent = (__s64)(monotonic - *(volatile __u64*)&control.heartbeat_ns);

    if (silent > (__s64)control.abandon_after_ns) control.generation = 0;
}

#endif
