/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Layer 1: what is remembered of a connection from its beginning on, and the counters. */
#ifndef TCPTRAIL_LIB_STORE_BPF_H
#define TCPTRAIL_LIB_STORE_BPF_H

#include "bpf/lib/control.bpf.h"
#include "bpf/lib/read.bpf.h"

static __always_inline void count(__u32 counter) {
    __u64* value = bpf_map_lookup_elem(&counters, &counter);

    if (value)
        __sync_fetch_and_add(value, 1); /* atomic: a softirq's hook may interrupt another's on this CPU */
}

/* A birth that was taken over may be of another socket, which was at this address before. */
static __always_inline bool store_is_stale(const struct sock* sk, const struct tcptrail_birth* birth) {
    return birth->flags & TCPTRAIL_BIRTH_TAKEN_OVER &&
           birth->cookie != BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
}

static __always_inline struct tcptrail_birth* store_find(const struct sock* sk) {
    __u64 key = (__u64)sk;
    struct tcptrail_birth* birth = bpf_map_lookup_elem(&connections, &key);

    if (!birth || !store_is_stale(sk, birth)) return birth;
    if (!bpf_map_delete_elem(&connections, &key)) count(TCPTRAIL_BIRTHS_DROPPED);
    return NULL;
}

/* Appends a state to the timeline. `birth` may be on the stack or in the map. */
static __always_inline void store_state(struct tcptrail_birth* birth, __u8 state, __u64 now) {
    __u32 n = birth->timeline_len;

    birth->state = state;
    if (n >= TCPTRAIL_TIMELINE_LEN) return;
    birth->timeline[n & (TCPTRAIL_TIMELINE_LEN - 1)] = (now - birth->opened_ns) << 4 | state;
    birth->timeline_len = n + 1;
}

#endif
