/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tp_btf/tcp_destroy_sock: second witness of the end, and the completion of a local abort.
 *
 * Reached from tcp_v4_destroy_sock(), once per socket, after its last state change. A tracing
 * program that is already running on a CPU is skipped there, so a change to CLOSE can go unseen;
 * this program is another one and is not skipped for the same reason.
 */
#ifndef TCPTRAIL_HOOKS_DESTROY_BPF_H
#define TCPTRAIL_HOOKS_DESTROY_BPF_H

#include "bpf/lib/emit.bpf.h"

static __always_inline int socket_destroyed(struct sock* sk) {
    struct tcptrail_birth* birth;
    struct tcp_sock* tp;
    __u32 flags;
    __u64 now;

    if (emit_is_noted(sk->__sk_common.skc_cookie.counter)) return 0;
    birth = store_find(sk);
    if (!birth) return 0;
    tp = bpf_skc_to_tcp_sock(sk);
    if (!tp) return 0;
    now = clock_read();
    flags = read_bit(~birth->flags, __builtin_ctz(TCPTRAIL_BIRTH_ENDING), TCPTRAIL_RECORD_SECOND_WITNESS);
    if (birth->flags & TCPTRAIL_BIRTH_ENDING) {
        now = birth->reset_ns;
    } else {
        birth->flags |= TCPTRAIL_BIRTH_STATES_GAP;
        count(TCPTRAIL_ENDS_SECOND_WITNESS);
    }
    emit_end(sk, tp, birth, flags, now);
    return 0;
}

#endif
