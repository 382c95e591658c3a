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

/* The only slot in which the birth of this socket may be. */
static __always_inline struct tcptrail_slot* store_slot(__u64 key) {
    __u32 half = key, place;

    /* The verifier multiplies no address, nor stores the half of one (clang 19 would, of what lies on the
     * stack). The half of one that was moved is a number. */
    asm volatile("%0 = %0" : "+w"(half));
    place = half * TCPTRAIL_SLOT_FACTOR >> config.slot_shift;
    return bpf_map_lookup_elem(&slots, &place);
}

/* The birth that is found first: in a slot is the newer one, where the end of an older one was not seen. */
static __always_inline struct tcptrail_birth* store_get(__u64 key) {
    struct tcptrail_slot* slot = store_slot(key);

    return slot && slot->key == key ? &slot->birth : bpf_map_lookup_elem(&connections, &key);
}

/* 0, or as bpf_map_update_elem() with BPF_NOEXIST. */
static __always_inline long store_insert(__u64 key, const struct tcptrail_birth* birth) {
    struct tcptrail_slot* slot = store_slot(key);

    if (slot && slot->key == key) return -EEXIST;
    if (!slot || slot->key || __sync_val_compare_and_swap(&slot->key, 0, TCPTRAIL_SLOT_TAKEN))
        return bpf_map_update_elem(&connections, &key, birth, BPF_NOEXIST);
    slot->birth = *birth;
    __sync_lock_test_and_set(&slot->key, key); /* a barrier, too: who finds the key finds the birth */
    return 0;
}

/* Whether this birth, which was found under that key, is in its slot. */
static __always_inline bool store_is_in_slot(const struct tcptrail_slot* slot,
                                             const struct tcptrail_birth* birth) {
    return slot && &slot->birth == birth;
}

/* What is now where this birth was found. NULL: nothing, or of another socket. */
static __always_inline const struct tcptrail_birth* store_again(__u64 key,
                                                                const struct tcptrail_birth* birth) {
    const struct tcptrail_slot* slot = store_slot(key);

    if (!store_is_in_slot(slot, birth)) return bpf_map_lookup_elem(&connections, &key);
    return slot->key == key ? &slot->birth : NULL;
}

/* True: nobody else did. `birth` is in the map or in a slot, and may be another's afterwards. */
static __always_inline bool store_remove(__u64 key, const struct tcptrail_birth* birth) {
    bool has_details = birth->flags & TCPTRAIL_BIRTH_HAS_DETAILS;
    struct tcptrail_slot* slot = store_slot(key);

    if (store_is_in_slot(slot, birth)) {
        if (__sync_val_compare_and_swap(&slot->key, key, 0) != key) return false;
    } else if (bpf_map_delete_elem(&connections, &key)) {
        return false;
    }
    if (has_details) bpf_map_delete_elem(&details, &key);
    return true;
}

/* A birth that was taken over may be of another socket, which was at this address before. */
static __always_inline bool store_is_stale(const struct sock* sk, const struct tcptrail_birth* birth) {
    return birth->taken_over && birth->cookie != BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
}

static __always_inline struct tcptrail_birth* store_find(const struct sock* sk) {
    __u64 key = (__u64)sk;
    struct tcptrail_birth* birth = store_get(key);

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

/* The second and all further states but CLOSE. `birth` may be on the stack or stored. */
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
