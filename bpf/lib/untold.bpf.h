/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Layer 2, for lib/emit: totals of the lifecycles for which the ring has no room. */
#ifndef TCPTRAIL_LIB_UNTOLD_BPF_H
#define TCPTRAIL_LIB_UNTOLD_BPF_H

#include "bpf/lib/store.bpf.h"

/* Of the flags of a record those that say how it ended. */
#define UNTOLD_FLAGS (TCPTRAIL_RECORD_ORPHAN | TCPTRAIL_RECORD_FIN_RECEIVED)

static __always_inline void untold_from_birth(struct tcptrail_untold_key* key,
                                              const struct tcptrail_birth* birth) {
    key->role = birth->role;
    key->state = birth->state;
    if (birth->reset_state == birth->state) key->reset_direction = birth->reset_direction;
    if (birth->flags & TCPTRAIL_BIRTH_ESTABLISHED)
        key->facts |= TCPTRAIL_UNTOLD_ESTABLISHED;
    else
        key->reported_error = birth->reported_error;
    if (birth->flags & (TCPTRAIL_BIRTH_ENDED_BY_OWNER | TCPTRAIL_BIRTH_ENDED_BY_OTHER))
        key->facts |= TCPTRAIL_UNTOLD_ENDED_BY_CALL;
    if (birth->flags & TCPTRAIL_BIRTH_ENDING) key->facts |= TCPTRAIL_UNTOLD_ENDING;
#pragma unroll
    for (int i = 0; i < TCPTRAIL_TIMELINE_LEN; i++)
        if (i < birth->timeline_len) key->path |= (birth->timeline[i] & 0xf) << (4 * i);
}

static __always_inline void untold_from_socket(struct tcptrail_untold_key* key, struct tcptrail_untold* sums,
                                               const struct sock* sk, const struct tcp_sock* tp) {
    key->error = sk->sk_err;
    if (tp->segs_out) key->facts |= TCPTRAIL_UNTOLD_SENT;
    if (sk->sk_shutdown) key->facts |= TCPTRAIL_UNTOLD_SHUTDOWN;
    if (tp->write_seq != tp->snd_una) key->facts |= TCPTRAIL_UNTOLD_UNACKNOWLEDGED;
    sums->bytes_sent = tp->bytes_sent;
    sums->bytes_received = tp->bytes_received;
}

/* Per CPU; a softirq's hook may interrupt another's on the same one. */
static __always_inline void untold_add(const struct tcptrail_untold_key* key,
                                       const struct tcptrail_untold* sums) {
    struct tcptrail_untold* sum = bpf_map_lookup_elem(&untold, key);

    if (!sum) {
        struct tcptrail_untold empty = {};

        bpf_map_update_elem(&untold, key, &empty, BPF_NOEXIST);
        sum = bpf_map_lookup_elem(&untold, key);
        if (!sum) return;
    }
    __sync_fetch_and_add(&sum->lifecycles, 1);
    __sync_fetch_and_add(&sum->bytes_sent, sums->bytes_sent);
    __sync_fetch_and_add(&sum->bytes_received, sums->bytes_received);
}

#endif
