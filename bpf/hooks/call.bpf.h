/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * connect(), accept() and bind() as they return to the application: who accepted, which attempts ended before
 * a SYN was sent (no route, denied by policy), of which the spine knows nothing, and who got no port.
 *
 * By fexit of inet_stream_connect(), inet_accept() and inet_bind(), which io_uring reaches too and which cost
 * other system calls nothing; where the kernel refuses trampolines, by the exits of the system calls. There
 * the socket is found through the descriptor, and everything is read with bpf_probe_read_kernel().
 */
#ifndef TCPTRAIL_HOOKS_CALL_BPF_H
#define TCPTRAIL_HOOKS_CALL_BPF_H

#include "bpf/lib/emit.bpf.h"

/* ---- accept() */

static __always_inline int call_accepted(struct sock* sk) {
    struct tcptrail_birth* birth = sk ? store_find(sk) : NULL;

    if (!birth || birth->accepted_ns) return 0;
    birth->accepted_ns = bpf_ktime_get_boot_ns();
    /* The cgroup stays the socket's own. */
    owner_set_process(&birth->owner, TCPTRAIL_OWNER_ACCEPT);
    return 0;
}

/* ---- connect() */

/* An attempt that did not come as far as a SYN ends with one of these. Not: pending, interrupted, misused. */
static __always_inline bool call_is_failure(int error) {
    switch (error) {
        case EINTR:
        case EFAULT:
        case EBADF:
        case ENOTSOCK:
        case EAFNOSUPPORT:
        case EISCONN:
        case EALREADY:
        case EINPROGRESS:
            return false;
        default:
            return error > 0 && error < ERESTARTSYS;
    }
}

/* The answer to an earlier attempt, which was told when it ended. */
static __always_inline bool call_picks_up(const struct sock* sk) {
    __u64 key = (__u64)sk;
    __u64* cookie = bpf_map_lookup_elem(&failed_attempts, &key);

    if (!cookie) return false;
    bool same = *cookie == BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
    bpf_map_delete_elem(&failed_attempts, &key);
    return same;
}

/* `to` has 16 bytes. False: neither IPv4 nor IPv6, as AF_UNSPEC, which disconnects. */
static __always_inline bool call_read_address(__u8* to, __u16* port, const union socket_address* from) {
    if (from->family == AF_INET) {
        *port = bpf_ntohs(from->v4.port);
        __builtin_memcpy(to, &from->v4.address, sizeof(from->v4.address));
        return true;
    }
    if (from->family == AF_INET6) {
        *port = bpf_ntohs(from->v6.port);
        __builtin_memcpy(to, from->v6.address, sizeof(from->v6.address));
        return true;
    }
    return false;
}

static __always_inline bool call_read_remote(struct tcptrail_addresses* to,
                                             const union socket_address* address) {
    to->family = address->family;
    return call_read_address(to->remote, &to->remote_port, address);
}

static __always_inline int call_connect_failed(struct sock* sk, const union socket_address* address,
                                               int error) {
    struct tcptrail_birth birth = {};
    __u64 now;

    if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP ||
        BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_CLOSE)
        return 0;
    if (call_picks_up(sk) || !call_read_remote(&birth.addresses, address)) return 0;
    owner_set_process(&birth.owner, TCPTRAIL_OWNER_CONNECT);
    if (birth.owner.actor.pid == self_tgid && !config.include_self) return 0;
    now = bpf_ktime_get_boot_ns();
    birth.cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
    if (!birth.cookie) birth.cookie = (__u64)sk;
    birth.opened_ns = now;
    birth.role = TCPTRAIL_ROLE_CLIENT;
    birth.state = TCP_CLOSE;
    birth.reported_error = error;
    birth.owner.cgroup_id = compat_probe_cgroup_id(sk);
    birth.addresses.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
    birth.addresses.ifindex = BPF_CORE_READ(sk, __sk_common.skc_bound_dev_if);
    emit_attempt(&birth, now);
    return 0;
}

/* `from` is the kernel's copy of the address. */
static __always_inline int call_connect_returned(struct sock* sk, const void* from, int result) {
    union socket_address address = {};

    if (!sk || !call_is_failure(-result)) return 0;
    bpf_probe_read_kernel(&address, sizeof(address), from);
    return call_connect_failed(sk, &address, -result);
}

/* ---- bind() */

static __always_inline int call_bind_failed(const struct sock* sk, const union socket_address* address,
                                            int error) {
    struct task_struct* task = bpf_get_current_task_btf();
    struct tcptrail_bind_failure first = {.count = 1}, *failure;
    struct tcptrail_bind_key key = {};

    if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP) return 0;
    key.family = address->family;
    if (!call_read_address(key.address, &key.port, address)) return 0;
    count(TCPTRAIL_BIND_FAILURES);
    key.pid = task->tgid;
    key.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
    key.error = error;
    first.last_ns = bpf_ktime_get_boot_ns();
    failure = bpf_map_lookup_elem(&bind_failures, &key);
    if (failure) {
        __sync_fetch_and_add(&failure->count, 1);
        failure->last_ns = first.last_ns;
        return 0;
    }
    bpf_probe_read_kernel(first.name, sizeof(first.name), task->group_leader->comm);
    if (bpf_map_update_elem(&bind_failures, &key, &first, BPF_NOEXIST))
        count(TCPTRAIL_BIND_FAILURES_NOT_STORED);
    return 0;
}

/* `from` is the kernel's copy of the address. */
static __always_inline int call_bind_returned(const struct sock* sk, const void* from, int result) {
    union socket_address address = {};

    if (!sk || result >= 0) return 0;
    bpf_probe_read_kernel(&address, sizeof(address), from);
    return call_bind_failed(sk, &address, -result);
}

/* ---- the system calls' exits */

/* The file behind a descriptor of the current task, or NULL. */
static __always_inline struct file* call_file_of(int descriptor) {
    struct fdtable* table = bpf_get_current_task_btf()->files->fdt;
    struct file* file = NULL;

    if (descriptor < 0 || (__u32)descriptor >= table->max_fds) return NULL;
    bpf_probe_read_kernel(&file, sizeof(file), table->fd + descriptor);
    return file;
}

/* accept() returns a socket or an error: no look whether it is one. */
static __always_inline int call_accept_exits(long result) {
    struct file* file = call_file_of((int)result);
    struct socket* socket = file ? BPF_CORE_READ(file, private_data) : NULL;

    return socket ? call_accepted(BPF_CORE_READ(socket, sk)) : 0;
}

/* NULL where it is no socket: only a socket points back at its file. */
static __always_inline struct sock* call_socket_of(int descriptor) {
    struct file* file = call_file_of(descriptor);
    struct socket* socket = file ? BPF_CORE_READ(file, private_data) : NULL;

    return socket && BPF_CORE_READ(socket, file) == file ? BPF_CORE_READ(socket, sk) : NULL;
}

/* connect() and bind(): the socket and the address that they were called with. */
static __always_inline struct sock* call_read_arguments(union socket_address* address) {
    struct pt_regs* arguments = (struct pt_regs*)bpf_task_pt_regs(bpf_get_current_task_btf());
    void* from = (void*)COMPAT_SYSCALL_ARGUMENT_2(arguments);

    bpf_probe_read_user(address, sizeof(address->v4), from);
    if (address->family == AF_INET6) bpf_probe_read_user(address, sizeof(*address), from);
    return call_socket_of((int)COMPAT_SYSCALL_ARGUMENT_1(arguments));
}

static __always_inline int call_connect_exits(long result) {
    union socket_address address = {};
    struct sock* sk;

    if (!call_is_failure((int)-result)) return 0;
    sk = call_read_arguments(&address);
    return sk ? call_connect_failed(sk, &address, (int)-result) : 0;
}

static __always_inline int call_bind_exits(long result) {
    union socket_address address = {};
    struct sock* sk;

    if (result >= 0) return 0;
    sk = call_read_arguments(&address);
    return sk ? call_bind_failed(sk, &address, (int)-result) : 0;
}

#endif
