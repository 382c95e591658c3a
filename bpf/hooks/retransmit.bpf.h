/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tp_btf/tcp_retransmit_skb: data, SYN and FIN sent again; reached from __tcp_retransmit_skb().
 * tp_btf/tcp_retransmit_synack: SYN-ACK sent again; reached from tcp_rtx_synack(), where no full
 * socket exists yet: the child takes over the count (tcp_create_openreq_child()).
 */
#ifndef TCPTRAIL_HOOKS_RETRANSMIT_BPF_H
#define TCPTRAIL_HOOKS_RETRANSMIT_BPF_H

#include "bpf/lib/store.bpf.h"

/*
 * By what made the kernel send it again: the state of congestion control, which it sets before it sends. The
 * number of segments is the difference in the socket's own count, which includes this one.
 */
static __always_inline void retransmit_count_kind(struct tcptrail_details* details,
                                                  const struct tcptrail_birth* birth,
                                                  const struct tcp_sock* tp, const struct sk_buff* skb) {
    __u32 total = tp->total_retrans, seen = details->retransmits_seen, segments;

    if (seen < birth->syn_retransmits) seen = birth->syn_retransmits; /* none since it is established */
    segments = total - seen;
    details->retransmits_seen = total;
    if (!(birth->flags & TCPTRAIL_BIRTH_ESTABLISHED)) return;
    switch (BPF_CORE_READ_BITFIELD(&tp->inet_conn, icsk_ca_state)) {
        case TCP_CA_RECOVERY:
            details->fast_retransmits += segments;
            break;
        case TCP_CA_LOSS:
            details->timeout_retransmits += segments;
            break;
        default:
            details->probe_retransmits += segments;
    }
    if (!skb->len) details->fin_retransmits += segments;
}

static __always_inline int segment_retransmitted(struct sock* sk, const struct sk_buff* skb) {
    struct tcptrail_birth* birth = store_find(sk);
    struct tcptrail_details* details;
    struct tcp_sock* tp;
    __u64 now;

    if (!birth) return 0;
    tp = bpf_skc_to_tcp_sock(sk);
    if (!tp) return 0;
    now = clock_read();
    details = store_details((__u64)sk, birth);
    if (!details) return 0;
    if (!details->retransmit_first_ns) details->retransmit_first_ns = now;
    details->retransmit_last_ns = now;
    retransmit_count_kind(details, birth, tp, skb);
    return 0;
}

static __always_inline int synack_retransmitted(void) {
    count(TCPTRAIL_SYNACK_RETRANSMITS);
    return 0;
}

#endif
