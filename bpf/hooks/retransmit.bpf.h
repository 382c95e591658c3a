/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tp_btf/tcp_retransmit_skb: data, SYN and FIN sent again; reached from __tcp_retransmit_skb().
 * tp_btf/tcp_retransmit_synack: SYN-ACK sent again; reached from tcp_rtx_synack(), where no full
 * socket exists yet: the child takes over the count (tcp_create_openreq_child()).
 */
#ifndef TCPTRAIL_HOOKS_RETRANSMIT_BPF_H
#define TCPTRAIL_HOOKS_RETRANSMIT_BPF_H

#include "bpf/lib/store.bpf.h"

static __always_inline int segment_retransmitted(const struct sock* sk) {
    struct tcptrail_birth* birth = store_find(sk);
    __u64 now;

    if (!birth) return 0;
    now = bpf_ktime_get_boot_ns();
    if (!birth->retransmit_first_ns) birth->retransmit_first_ns = now;
    birth->retransmit_last_ns = now;
    return 0;
}

static __always_inline int synack_retransmitted(void) {
    count(TCPTRAIL_SYNACK_RETRANSMITS);
    return 0;
}

#endif
