/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Layer 1: the time, CLOCK_BOOTTIME in nanoseconds. To read a clock takes longer than most of what a hook
 * does at a change of state. Whatever is caused by a segment or a timer happens at the time that TCP itself
 * has just read for it.
 */
#ifndef TCPTRAIL_LIB_CLOCK_BPF_H
#define TCPTRAIL_LIB_CLOCK_BPF_H

#include "bpf/lib/control.bpf.h"

/* What lasted less was no sleep. */
#define CLOCK_LEAST_SLEEP_NS 1000000ull

/*
 * Once in a jiffy, at the first change of state in it: a host that slept has been awake for less than one. An
 * interrupt, or a virtual machine that is not run, between the looks at the clocks looks like sleep, too:
 * then the next change has to do. Of what is measured the least is right.
 */
static __always_inline void clock_tick(void) {
    __u64 jiffies = bpf_jiffies64(), monotonic, slept, known = ticks.suspended_ns;

    if (jiffies == ticks.jiffies) return;
    monotonic = bpf_ktime_get_ns();
    control_look_for_agent(monotonic);
    slept = bpf_ktime_get_boot_ns() - monotonic;
    if (bpf_ktime_get_ns() - monotonic >= CLOCK_LEAST_SLEEP_NS) return;
    if (slept < known || slept - known > CLOCK_LEAST_SLEEP_NS) ticks.suspended_ns = slept;
    ticks.jiffies = jiffies;
}

static __always_inline __u64 clock_read(void) {
    return bpf_ktime_get_boot_ns();
}

/* What a segment has caused: tcp_mstamp_refresh() is called before each that is received, and by each timer.
 */
static __always_inline __u64 clock_of_segment(const struct tcp_sock* tp) {
    return tp->tcp_clock_cache + ticks.suspended_ns;
}

/*
 * What a segment, a timer or a process has caused. Before what a process does nothing has looked at the
 * clock. It holds the lock as its user; so does who works off the backlog for it, in which segments wait.
 */
static __always_inline __u64 clock_of(const struct sock* sk, const struct tcp_sock* tp) {
    return sk->sk_lock.owned ? clock_read() : clock_of_segment(tp);
}

#endif
