/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * iter/bpf_map_elem over `connections`, run by the agent from time to time (key by key, where that is
 * refused, and over `slots`): finds the births whose socket is gone though no hook saw the end, and tells
 * them as END_MISSED. Those that are open it writes into the iterator's file, if that is wanted.
 *
 * The memory behind a key stays a struct sock or becomes something else: it is read with
 * bpf_probe_read_kernel(), and believed only while it carries the cookie of the birth and is referred to.
 */
#ifndef TCPTRAIL_HOOKS_SWEEP_BPF_H
#define TCPTRAIL_HOOKS_SWEEP_BPF_H

#include "bpf/lib/emit.bpf.h"

/* The trace of a change comes before the change: a birth is stored while its socket is still in TCP_CLOSE. */
#define SWEEP_BIRTH_NS 1000000000ull
/* A local abort completes within the call that began it; older than this it was not completed. */
#define SWEEP_ENDING_NS 1000000000ull
#define SWEEP_YOUNG_NS 120000000000ull

/* The cookie that a birth has at this moment. */
static __always_inline __u64 sweep_cookie(const struct tcptrail_birth* birth) {
    return *(const volatile __u64*)&birth->cookie;
}

/* Whether the socket of the birth, which had this cookie before, is gone. */
static __always_inline bool sweep_seems_gone(__u64 key, const struct tcptrail_birth* birth, __u64 born,
                                             __u64 now) {
    struct sock* sk = (struct sock*)key;
    __u64 cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
    __u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

    if (birth->flags & TCPTRAIL_BIRTH_ENDING) return now - birth->reset_ns > SWEEP_ENDING_NS;
    if (read_is_freed(sk)) return true;
    /* A child takes its cookie at its first change; with Fast Open that can take a while. */
    if (!born) return state == TCP_CLOSE || now - birth->opened_ns > SWEEP_YOUNG_NS;
    if (cookie != born) return true;
    if (birth->taken_over) return state == TCP_CLOSE;
    return state == TCP_CLOSE && now - birth->opened_ns > SWEEP_BIRTH_NS;
}

static __always_inline void sweep_fill_open(struct tcptrail_open* open, const struct tcptrail_birth* birth) {
    __builtin_memset(open, 0, sizeof(*open));
    __builtin_memcpy(open->remote, birth->remote, sizeof(birth->remote));
    __builtin_memcpy(open->remote + sizeof(birth->remote), birth->remote_rest, sizeof(birth->remote_rest));
    open->netns = birth->netns;
    open->remote_port = birth->remote_port;
    open->family = birth->family;
    open->flags = birth->flags;
    open->role = birth->role;
}

/*
 * The end may come right now, and the next socket be born at the same address, and its birth lie in the place
 * of this one: then the birth's cookie and the socket's are of two sockets, though each is what it should be.
 * So it is gone only if the map has still the birth that was looked at first.
 */
static __always_inline bool sweep_is_gone(__u64 key, const struct tcptrail_birth* birth, __u64 born,
                                          __u64 now) {
    const struct tcptrail_birth* again;

    if (!sweep_seems_gone(key, birth, born, now)) return false;
    again = store_again(key, birth);
    return again && sweep_cookie(again) == born && sweep_seems_gone(key, again, born, now);
}

/* True: it is open. */
static __always_inline bool sweep_birth(__u64 key, struct tcptrail_birth* birth) {
    __u64 now = clock_read(), born = sweep_cookie(birth);

    if (sweep_is_gone(key, birth, born, now)) {
        emit_end_missed(key, birth, born, now);
        return false;
    }
    /* Its end is still to come. What a hook may write at the same time is written only where it must be. */
    if (birth->taken_over) birth->taken_over = 0;
    return true;
}

static __always_inline int sweep_element(const struct bpf_iter__bpf_map_elem* ctx) {
    struct tcptrail_birth* birth = ctx->value;
    struct tcptrail_open open;
    __u64* key = ctx->key;

    if (!key || !birth || !sweep_birth(*key, birth) || !sweep_writes_open) return 0;
    sweep_fill_open(&open, birth);
    bpf_seq_write(ctx->meta->seq, &open, sizeof(open));
    return 0;
}

/* Where the agent says that it is. */
static __always_inline struct tcptrail_birth* sweep_stored(__u64 key) {
    struct tcptrail_slot* slot;

    if (!by_key.in_slot) return bpf_map_lookup_elem(&connections, &key);
    slot = store_slot(key);
    return slot && slot->key == key ? &slot->birth : NULL;
}

static __always_inline int sweep_key(void) {
    __u64 key = by_key.key;
    struct tcptrail_birth* birth = sweep_stored(key);

    if (!birth || !sweep_birth(key, birth) || !sweep_writes_open) return 0;
    sweep_fill_open(&by_key.open, birth);
    return sizeof(by_key.open);
}

#endif
