/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tp_btf/inet_sk_error_report: an errno was reported to the socket (ICMP, timeout, reset). Reached
 * from inet_sk_error_report(). The application may fetch it, and so clear sk_err, before the end.
 */
#ifndef TCPTRAIL_HOOKS_ERROR_BPF_H
#define TCPTRAIL_HOOKS_ERROR_BPF_H

#include "bpf/lib/store.bpf.h"

#define ERROR_ORIGIN_ICMP 2 /* SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6 of include/uapi/linux/errqueue.h */
#define ERROR_ORIGIN_ICMP6 3

/*
 * The errno of the ICMP message that was queued last. It comes before the error itself, of which there is
 * only sk_err_soft where the message arrives while connect() still holds the socket: the attempt goes on, and
 * the application, which is woken, gets that errno from SO_ERROR (tcp_v4_err, ip_icmp_error).
 */
static __always_inline int error_of_icmp(const struct sock* sk) {
    const struct sk_buff* last = BPF_CORE_READ(sk, sk_error_queue.prev);
    const struct sock_exterr_skb* error;
    __u8 origin;

    if (!bpf_core_type_exists(struct sock_exterr_skb)) return 0;
    if (!last || (const void*)last == (const void*)&sk->sk_error_queue) return 0;
    error = (const void*)((const char*)last + bpf_core_field_offset(struct sk_buff, cb));
    origin = BPF_CORE_READ(error, ee.ee_origin);
    return origin == ERROR_ORIGIN_ICMP || origin == ERROR_ORIGIN_ICMP6 ? BPF_CORE_READ(error, ee.ee_errno)
                                                                       : 0;
}

static __always_inline int error_reported(const struct sock* sk) {
    struct tcptrail_birth* birth;
    int error = sk->sk_err;

    if (!read_is_tcp(sk)) return 0;
    birth = store_find(sk);
    if (!birth) return 0;
    if (!error && sk->__sk_common.skc_state == TCP_SYN_SENT) error = error_of_icmp(sk);
    birth->reported_error = error;
    return 0;
}

#endif
