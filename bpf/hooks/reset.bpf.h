/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tp_btf/tcp_send_reset and tp_btf/tcp_receive_reset: who reset, in which state, and why.
 *
 * tcp_send_reset is reached from tcp_v4_send_reset() (a segment that nobody wanted: `sk` may be
 * NULL) and from tcp_send_active_reset() (a local abort, right after the change to CLOSE).
 * tcp_receive_reset is reached from tcp_reset(), before the change to CLOSE.
 */
#ifndef TCPTRAIL_HOOKS_RESET_BPF_H
#define TCPTRAIL_HOOKS_RESET_BPF_H

#include "bpf/lib/emit.bpf.h"

static __always_inline int reset_sent(const struct sock* sk, __u32 reason) {
    struct tcptrail_birth* birth;
    struct tcp_sock* tp;

    if (!sk) return 0;
    birth = store_find(sk);
    if (!birth) return 0;
    birth->reset_direction = TCPTRAIL_RESET_SENT;
    birth->reset_reason = reason;
    if (birth->flags & TCPTRAIL_BIRTH_ENDING) {
        tp = bpf_skc_to_tcp_sock((void*)sk);
        if (tp) emit_end(sk, tp, birth, 0, birth->reset_ns);
        return 0;
    }
    birth->reset_state = birth->state;
    birth->reset_ns = clock_read();
    return 0;
}

static __always_inline int reset_received(const struct sock* sk) {
    struct tcptrail_birth* birth = store_find(sk);
    const struct tcp_sock* tp = birth ? bpf_skc_to_tcp_sock((void*)sk) : NULL;

    if (!birth || !tp) return 0;
    birth->reset_direction = TCPTRAIL_RESET_RECEIVED;
    birth->reset_reason = 0;
    birth->reset_state = birth->state;
    birth->reset_ns = clock_of(sk, tp); /* as the change to CLOSE that follows */
    return 0;
}

#endif
