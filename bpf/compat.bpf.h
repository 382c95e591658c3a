/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every difference between kernels, with version and commit. The floor is Linux 5.15. */
#ifndef TCPTRAIL_COMPAT_BPF_H
#define TCPTRAIL_COMPAT_BPF_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/kernel.bpf.h"

/* tcp_sock.total_rto: Linux 6.7 (3868ab0f1925). */
static __always_inline bool compat_has_rto_count(const struct tcp_sock* tp) {
    return bpf_core_field_exists(tp->total_rto);
}

static __always_inline __u32 compat_rto_count(const struct tcp_sock* tp) {
    return compat_has_rto_count(tp) ? tp->total_rto : 0;
}

/*
 * What MPTCP knows of one of its subflows, or NULL. Only where the kernel is built with CONFIG_MPTCP. A
 * client's socket stays a subflow after it has fallen back to TCP.
 */
static __always_inline const struct mptcp_subflow_context* compat_subflow(const struct tcp_sock* tp) {
    if (!bpf_core_field_exists(tp->is_mptcp) || !tp->is_mptcp) return NULL;
    return tp->inet_conn.icsk_ulp_data;
}

/* Whether both ends agreed on MPTCP. */
static __always_inline bool compat_is_mptcp(const struct tcp_sock* tp) {
    const struct mptcp_subflow_context* subflow = compat_subflow(tp);

    return subflow && (BPF_CORE_READ_BITFIELD_PROBED(subflow, mp_capable) ||
                       BPF_CORE_READ_BITFIELD_PROBED(subflow, mp_join));
}

/* The first of the subflows that `tp` is one of; NULL when it is freed. */
static __always_inline const struct sock* compat_first_subflow(const struct tcp_sock* tp) {
    const struct mptcp_subflow_context* subflow = compat_subflow(tp);
    const struct mptcp_sock* whole = subflow ? (const void*)BPF_CORE_READ(subflow, conn) : NULL;

    return whole ? BPF_CORE_READ(whole, first) : NULL;
}

/* The TCP socket that a process holds through `sk`: of an MPTCP socket its first subflow. */
static __always_inline const struct sock* compat_held_socket(const struct sock* sk) {
    const struct mptcp_sock* whole = (const void*)sk;

    if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_MPTCP) return sk;
    return bpf_core_field_exists(whole->first) ? BPF_CORE_READ(whole, first) : NULL;
}

/* tcp_sock.chrono_type: a bit field until Linux 6.8 (d5fed5addb2b), a byte from then on. */
static __always_inline __u32 compat_chrono_type(const struct tcp_sock* tp) {
    return BPF_CORE_READ_BITFIELD(tp, chrono_type);
}

/* sock.sk_cgrp_data: only where the kernel is built with CONFIG_SOCK_CGROUP_DATA. */
static __always_inline __u64 compat_cgroup_id(const struct sock* sk) {
    if (!bpf_core_field_exists(sk->sk_cgrp_data.cgroup)) return 0;
    struct cgroup* cgroup = sk->sk_cgrp_data.cgroup;
    return cgroup ? cgroup->kn->id : 0;
}

/* The same for a socket that was found through pointers that the verifier does not know. */
static __always_inline __u64 compat_probe_cgroup_id(const struct sock* sk) {
    if (!bpf_core_field_exists(sk->sk_cgrp_data.cgroup)) return 0;
    return BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
}

/* net.ipv4.ip_local_port_range: two numbers, one from Linux 6.8 on (d9f28735af87). */
static __always_inline void compat_port_range(const struct net* net, __u16* first, __u16* last) {
    const struct local_ports* ports = &net->ipv4.ip_local_ports;
    const struct local_ports___array* array = (const void*)ports;

    if (bpf_core_field_exists(ports->range)) {
        __u32 range = BPF_CORE_READ(ports, range);

        *first = range;
        *last = range >> 16;
    } else {
        *first = BPF_CORE_READ(array, range[0]);
        *last = BPF_CORE_READ(array, range[1]);
    }
}

/* The first arguments of the system call that `task` is in. Its registers stay as they were when it entered.
 */
#if defined(__TARGET_ARCH_arm64)
#define COMPAT_SYSCALL_ARGUMENT_1(regs) BPF_CORE_READ(regs, orig_x0)
#define COMPAT_SYSCALL_ARGUMENT_2(regs) BPF_CORE_READ(regs, regs[1])
#define COMPAT_SYSCALL_ARGUMENT_3(regs) BPF_CORE_READ(regs, regs[2])
#elif defined(__TARGET_ARCH_x86)
#define COMPAT_SYSCALL_ARGUMENT_1(regs) BPF_CORE_READ(regs, di)
#define COMPAT_SYSCALL_ARGUMENT_2(regs) BPF_CORE_READ(regs, si)
#define COMPAT_SYSCALL_ARGUMENT_3(regs) BPF_CORE_READ(regs, dx)
#else
#error "which registers hold the arguments of system calls on this architecture?"
#endif

/*
 * tcp_send_reset carries enum sk_rst_reason from Linux 6.10 on (b533fb9cf4f7); the user side loads
 * the program that fits. See tcp.bpf.c.
 */

#endif
