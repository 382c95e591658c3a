/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Layer 1: what is remembered of a connection from its beginning on, and the counters. */
#ifndef TCPTRAIL_LIB_STORE_BPF_H
#define TCPTRAIL_LIB_STORE_BPF_H

#include "bpf/lib/clock.bpf.h"
#include "bpf/lib/read.bpf.h"

static __always_inline void count(__u32 counter) {
    __u64* value = bpf_map_lookup_elem(&counters, &counter);

    if (value)
        __sync_fetch_and_add(value, 1); /* atomic: a softirq's hook may interrupt another's on this CPU */
}

/* True: nobody else did. `birth` is in the map, and may be another's afterwards. */
static __always_inline bool store_remove(__u64 key, const struct tcptrail_birth* birth) {
    bool has_details = birth->flags & TCPTRAIL_BIRTH_HAS_DETAILS;

    if (bpf_map_delete_elem(&connections, &key)) return false;
    if (has_details) bpf_map_delete_elem(&details, &key);
    return true;
}

/* A birth that was taken over may be of another socket, which was at this address before. */
static __always_inline bool store_is_stale(const struct sock* sk, const struct tcptrail_birth* birth) {
    return birth->taken_over && birth->cookie != BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
}

static __always_inline struct tcptrail_birth* store_find(const struct sock* sk) {
    __u64 key = (__u64)sk;
    struct tcptrail_birth* birth = bpf_map_lookup_elem(&connections, &key);

    if (!birth || !store_is_stale(sk, birth)) return birth;
    if (store_remove(key, birth)) count(TCPTRAIL_BIRTHS_DROPPED);
    return NULL;
}

/* Not on the stack, which is short. */
const struct tcptrail_details store_no_details = {};

/* The details of a birth in the map, which are made if there are none. NULL: there was no room for them. */
static __always_inline struct tcptrail_details* store_details(__u64 key, struct tcptrail_birth* birth) {
    struct tcptrail_details* known;

    if (birth->flags & TCPTRAIL_BIRTH_HAS_DETAILS) {
        known = bpf_map_lookup_elem(&details, &key);
        if (known) return known;
        birth->flags |= TCPTRAIL_BIRTH_DETAILS_LOST; /* while they were taken over */
    }
    if (bpf_map_update_elem(&details, &key, &store_no_details, BPF_ANY)) {
        birth->flags |= TCPTRAIL_BIRTH_DETAILS_LOST;
        return NULL;
    }
    birth->flags |= TCPTRAIL_BIRTH_HAS_DETAILS;
    return bpf_map_lookup_elem(&details, &key);
}

/* Names of tasks, aligned as in a birth. */
static __always_inline bool store_same_name(const char* a, const char* b) {
    const __u64 *one = (const __u64*)a, *other = (const __u64*)b;

    return one[0] == other[0] && one[1] == other[1];
}

/* When the last state that was seen began: nothing that follows was earlier, whatever clock says so. */
static __always_inline __u64 store_last_ns(const struct tcptrail_birth* birth) {
    __u32 n = birth->timeline_len;

    return birth->opened_ns + (n ? birth->timeline[(n - 1) & (TCPTRAIL_TIMELINE_LEN - 1)] >> 4 : 0);
}

/* The second and all further states but CLOSE. `birth` may be on the stack or in the map. */
static __always_inline void store_state(struct tcptrail_birth* birth, __u8 state, __u64 now) {
    __u64 last = store_last_ns(birth);
    __u32 n = birth->timeline_len;

    birth->state = state;
    if (n >= TCPTRAIL_TIMELINE_LEN) return;
    if (now < last) now = last;
    birth->timeline[n & (TCPTRAIL_TIMELINE_LEN - 1)] = (now - birth->opened_ns) << 4 | state;
    birth->timeline_len = n + 1;
}

#endif
