/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * iter/task_file: every socket of every process, in every network namespace, once the other hooks
 * are attached. Pass 1 finds the listeners, pass 2 the connections that are open already. Both
 * maps are filled with BPF_NOEXIST: what a hook has seen meanwhile is better.
 */
#ifndef TCPTRAIL_HOOKS_SCAN_BPF_H
#define TCPTRAIL_HOOKS_SCAN_BPF_H

#include "bpf/lib/owner.bpf.h"
#include "bpf/lib/store.bpf.h"

static __always_inline void scan_owner(struct tcptrail_owner* to, const struct sock* sk,
                                       struct task_struct* task) {
    owner_set_actor(&to->actor, task);
    to->actor.uid = ~0u; /* not asked for: the user side reads it from /proc */
    to->start_ns = task->group_leader->start_boottime;
    to->cgroup_id = compat_cgroup_id(sk);
}

static __always_inline void scan_listen_port(const struct sock* sk) {
    const struct inet_sock* inet = (const void*)sk;
    struct listen_port port = {};
    __u8 yes = 1;

    port.netns = sk->__sk_common.skc_net.net->ns.inum;
    port.port = bpf_ntohs(BPF_CORE_READ(inet, inet_sport));
    bpf_map_update_elem(&listen_ports, &port, &yes, BPF_ANY);
}

static __always_inline void scan_listener(struct sock* sk, struct task_struct* task) {
    struct tcptrail_listener listener = {};
    __u64 key = (__u64)sk;
    long error;

    listener.cookie = bpf_get_socket_cookie(sk);
    scan_owner(&listener.owner, sk, task);
    __builtin_memcpy(listener.thread_name, listener.owner.actor.name, sizeof(listener.thread_name));
    listener.owner_source = TCPTRAIL_OWNER_SCAN;
    error = bpf_map_update_elem(&listeners, &key, &listener, BPF_NOEXIST);
    if (error && error != -EEXIST) count(TCPTRAIL_LISTENERS_NOT_STORED);
    scan_listen_port(sk);
}

static __always_inline void scan_connection(struct sock* sk, const struct tcp_sock* tp,
                                            struct task_struct* task) {
    struct tcptrail_birth birth = {};
    struct listen_port port = {};
    __u64 key = (__u64)sk;
    long error;

    birth.cookie = bpf_get_socket_cookie(sk);
    birth.flags = TCPTRAIL_BIRTH_ADOPTED;
    birth.taken_over = 1;
    birth.told_ns = clock_read();
    birth.state = sk->__sk_common.skc_state;
    if ((__u32)task->tgid == self_tgid && !config.include_self) birth.flags |= TCPTRAIL_BIRTH_IGNORED;
    scan_owner(&birth.owner, sk, task);
    __builtin_memcpy(birth.thread_name, birth.owner.actor.name, sizeof(birth.thread_name));
    birth.owner_source = TCPTRAIL_OWNER_SCAN;
    read_addresses(&birth, sk, tp);
    port.netns = birth.netns;
    port.port = birth.local_port;
    birth.role = birth.state != TCP_SYN_SENT && bpf_map_lookup_elem(&listen_ports, &port)
                     ? TCPTRAIL_ROLE_SERVER
                     : TCPTRAIL_ROLE_CLIENT;
    if (store_get(key)) return;
    error = bpf_map_update_elem(&connections, &key, &birth, BPF_NOEXIST);
    if (error) {
        if (error != -EEXIST) count(TCPTRAIL_BIRTHS_NOT_STORED);
        return;
    }
    /* It may be ending now: told a moment ago, and not in TCP_CLOSE yet. The sweep that follows finds out. */
    count(TCPTRAIL_BIRTHS_ADOPTED);
}

static __always_inline int scan_file(const struct bpf_iter__task_file* ctx) {
    struct task_struct* task = ctx->task;
    struct file* file = ctx->file;
    struct socket* socket;
    struct tcp_sock* tp;
    struct sock* sk;

    /* This runs in the agent's read(). */
    if (ctx->meta->seq_num == 0) self_tgid = bpf_get_current_pid_tgid() >> 32;
    if (!task || !file) return 0;
    socket = bpf_sock_from_file(file);
    if (!socket) return 0;
    sk = socket->sk;
    if (!sk) return 0;
    /* Its TCP sockets have no file; but TCP clients connect to its port. */
    if (sk->sk_protocol == IPPROTO_MPTCP) {
        if (scan_pass == 1 && sk->__sk_common.skc_state == TCP_LISTEN) scan_listen_port(sk);
        return 0;
    }
    tp = bpf_skc_to_tcp_sock(sk);
    if (!tp) return 0;
    if (sk->__sk_common.skc_state == TCP_LISTEN) {
        if (scan_pass == 1) scan_listener(sk, task);
    } else if (scan_pass == 2 && sk->__sk_common.skc_state != TCP_CLOSE) {
        scan_connection(sk, tp, task);
    }
    return 0;
}

#endif
