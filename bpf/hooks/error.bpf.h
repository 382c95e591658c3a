/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tp_btf/inet_sk_error_report: an errno was reported to the socket (ICMP, timeout, reset). Reached
 * from inet_sk_error_report(). The application may fetch it, and so clear sk_err, before the end.
 */
#ifndef TCPTRAIL_HOOKS_ERROR_BPF_H
#define TCPTRAIL_HOOKS_ERROR_BPF_H

#include "bpf/lib/store.bpf.h"

static __always_inline int error_reported(const struct sock* sk) {
    struct tcptrail_birth* birth;

    if (!read_is_tcp(sk)) return 0;
    birth = store_find(sk);
    if (birth) birth->reported_error = sk->sk_err;
    return 0;
}

#endif
