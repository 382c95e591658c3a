/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * connect(), accept() and bind() as they return to the application: who accepted, which attempts ended before
 * a SYN was sent (no route, denied by policy), of which the spine knows nothing, and who got no port.
 *
 * By fexit of inet_stream_connect(), inet_csk_accept(), inet_bind() and inet6_bind(), which io_uring reaches
 * too and which cost other system calls nothing; where the kernel refuses trampolines, by the exits of the
 * system calls. There the socket is found through the descriptor, and everything is read with
 * bpf_probe_read_kernel().
 */
#ifndef TCPTRAIL_HOOKS_CALL_BPF_H
#define TCPTRAIL_HOOKS_CALL_BPF_H

#include "bpf/lib/emit.bpf.h"

#define SOCKADDR_IN_LEN 16
#define SIN6_LEN_RFC2133 24 /* the kernel takes an address without a scope, too */
#define SOCKADDR_IN6_LEN 28
#define CALL_ADDRESS_BYTES 16

static __always_inline __u64 call_cookie_of(const struct sock* sk) {
    return BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
}

/* ---- accept() */

/*
 * `sk`, whose birth is this, was accepted by `task`, which is `current`. It may have ended meanwhile, and its
 * address be another's: nothing is written that was not compared.
 */
static __always_inline int call_accepted_by(const struct sock* sk, struct tcptrail_birth* birth,
                                            struct task_struct* task) {
    if (!birth || birth->accepted_ns) return 0;
    if (birth->cookie && birth->cookie != call_cookie_of(sk)) return 0;
    /* In-kernel servers and SMC accept for somebody else. */
    owner_replace(birth, TCPTRAIL_OWNER_ACCEPT, task);
    birth->accepted_ns = clock_read();
    return 0;
}

static __always_inline int call_accepted(const struct sock* sk) {
    return sk ? call_accepted_by(sk, store_find(sk), bpf_get_current_task_btf()) : 0;
}

/* ---- connect() */

/*
 * What an attempt that did not come as far as a SYN may end with. Not: pending, interrupted, misused; nor
 * what only an attempt ends with that came further, which was told then.
 */
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
        case ECONNREFUSED:
        case ECONNRESET:
        case ECONNABORTED:
        case ETIMEDOUT:
        case EPIPE:
            return false;
        default:
            return error > 0 && error < ERESTARTSYS;
    }
}

/* What connect() returns by itself between the change to SYN_SENT and the SYN. */
static __always_inline bool call_is_synchronous(int error) {
    return error == EADDRNOTAVAIL || error == ENOBUFS || error == ENOMEM || error == EHOSTUNREACH ||
           error == ENETUNREACH;
}

/* Whether this is the answer to an attempt that is told otherwise: when it ended, or by another witness. */
static __always_inline bool call_is_told(const struct sock* sk, __u64 cookie, int error) {
    struct tcptrail_birth* birth = store_find(sk);
    __u64 key = (__u64)sk;
    struct failed_attempt *entry, attempt;

    if (birth && birth->cookie == cookie) return true;
    entry = bpf_map_lookup_elem(&failed_attempts, &key);
    if (!entry) return false;
    attempt = *entry;
    bpf_map_delete_elem(&failed_attempts, &key);
    if (attempt.cookie != cookie) return false;
    return attempt.error ? attempt.error == error : call_is_synchronous(error);
}

/* `to` has 16 bytes. False: neither IPv4 nor IPv6 (AF_UNSPEC disconnects), or too short. */
static __always_inline bool call_read_address(__u8* to, __u16* port, const union socket_address* from,
                                              int length) {
    if (from->family == AF_INET && length >= SOCKADDR_IN_LEN) {
        *port = bpf_ntohs(from->v4.port);
        __builtin_memcpy(to, &from->v4.address, sizeof(from->v4.address));
        return true;
    }
    if (from->family == AF_INET6 && length >= SIN6_LEN_RFC2133) {
        *port = bpf_ntohs(from->v6.port);
        __builtin_memcpy(to, from->v6.address, sizeof(from->v6.address));
        return true;
    }
    return false;
}

/* As a birth has it. */
static __always_inline void call_split_address(__u8* begin, __u8* rest, const __u8* address) {
    __builtin_memcpy(begin, address, 4);
    __builtin_memcpy(rest, address + 4, CALL_ADDRESS_BYTES - 4);
}

/* What the socket was bound to before, and the scope of a link-local address. */
static __always_inline void call_read_local(struct tcptrail_birth* to, const struct sock* sk,
                                            const union socket_address* remote, int length) {
    const struct inet_sock* inet = (const void*)sk;
    __u8 local[CALL_ADDRESS_BYTES] = {};

    to->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
    to->ifindex = BPF_CORE_READ(sk, __sk_common.skc_bound_dev_if);
    to->local_port = bpf_ntohs(BPF_CORE_READ(inet, inet_sport));
    if (to->family == AF_INET) {
        *(__u32*)to->local = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
        return;
    }
    bpf_probe_read_kernel(local, sizeof(local), &sk->__sk_common.skc_v6_rcv_saddr);
    call_split_address(to->local, to->local_rest, local);
    if (!to->ifindex && length >= SOCKADDR_IN6_LEN) to->ifindex = remote->v6.scope;
}

static __always_inline int call_connect_failed(const struct sock* sk, const union socket_address* address,
                                               int length, int error) {
    struct tcptrail_birth birth = {};
    __u64 now, cookie = call_cookie_of(sk);
    __u8 remote[CALL_ADDRESS_BYTES] = {};

    if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP ||
        BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_CLOSE)
        return 0;
    if (call_is_told(sk, cookie, error)) return 0;
    birth.family = address->family;
    if (!call_read_address(remote, &birth.remote_port, address, length)) return 0;
    call_split_address(birth.remote, birth.remote_rest, remote);
    call_read_local(&birth, sk, address, length);
    owner_set_current(&birth, TCPTRAIL_OWNER_CONNECT);
    if (birth.owner.actor.pid == self_tgid && !config.include_self) return 0;
    birth.owner.cgroup_id = compat_probe_cgroup_id(sk);
    now = clock_read();
    birth.cookie = cookie ? cookie : (__u64)sk;
    birth.opened_ns = now;
    birth.role = TCPTRAIL_ROLE_CLIENT;
    birth.state = TCP_CLOSE;
    birth.reported_error = error;
    emit_attempt(&birth, now);
    return 0;
}

/* `from` is the kernel's copy of the address. */
static __always_inline int call_connect_returned(const struct sock* sk, const void* from, int length,
                                                 int result) {
    union socket_address address = {};

    if (!sk || !call_is_failure(-result)) return 0;
    bpf_probe_read_kernel(&address, sizeof(address), from);
    return call_connect_failed(sk, &address, length, -result);
}

/* ---- bind() */

static __always_inline int call_bind_failed(const struct sock* sk, const union socket_address* address,
                                            int length, int error) {
    struct task_struct* task = bpf_get_current_task_btf();
    struct tcptrail_bind_failure first = {.count = 1}, *failure;
    struct tcptrail_bind_key key = {};

    if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP) return 0;
    key.family = address->family;
    if (!call_read_address(key.address, &key.port, address, length)) return 0;
    count(TCPTRAIL_BIND_FAILURES);
    key.pid = task->tgid;
    key.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
    key.error = error;
    first.last_ns = clock_read();
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
static __always_inline int call_bind_returned(const struct sock* sk, const void* from, int length,
                                              int result) {
    union socket_address address = {};

    if (!sk || result >= 0) return 0;
    bpf_probe_read_kernel(&address, sizeof(address), from);
    return call_bind_failed(sk, &address, length, -result);
}

/* ---- the system calls' exits */

/* The file behind a descriptor of `current`, which is `task`, or NULL. */
static __always_inline struct file* call_file_of(int descriptor, const struct task_struct* task) {
    struct fdtable* table = task->files->fdt;
    struct file* file = NULL;

    if (descriptor < 0 || (__u32)descriptor >= table->max_fds) return NULL;
    bpf_probe_read_kernel(&file, sizeof(file), table->fd + descriptor);
    return file;
}

/* accept() returns a socket or an error: no look whether it is one. What has a birth is of TCP's own. */
static __always_inline int call_accept_exits(long result) {
    struct task_struct* task = bpf_get_current_task_btf();
    struct file* file = call_file_of((int)result, task);
    struct socket* socket = file ? BPF_CORE_READ(file, private_data) : NULL;
    const struct sock* sk = socket ? BPF_CORE_READ(socket, sk) : NULL;

    struct tcptrail_birth* birth = sk ? store_find(sk) : NULL;

    if (sk && !birth) {
        sk = compat_held_socket(sk);
        birth = sk ? store_find(sk) : NULL;
    }
    return call_accepted_by(sk, birth, task);
}

/* NULL where it is no socket: only a socket points back at its file. */
static __always_inline struct sock* call_socket_of(int descriptor) {
    struct file* file = call_file_of(descriptor, bpf_get_current_task_btf());
    struct socket* socket = file ? BPF_CORE_READ(file, private_data) : NULL;

    return socket && BPF_CORE_READ(socket, file) == file ? BPF_CORE_READ(socket, sk) : NULL;
}

struct call_arguments {
    struct sock* sk; /* NULL: not a socket */
    union socket_address address;
    int length;
};

/* connect() and bind(): what they were called with. */
static __always_inline void call_read_arguments(struct call_arguments* to) {
    struct pt_regs* registers = (struct pt_regs*)bpf_task_pt_regs(bpf_get_current_task_btf());
    void* from = (void*)COMPAT_SYSCALL_ARGUMENT_2(registers);

    to->sk = call_socket_of((int)COMPAT_SYSCALL_ARGUMENT_1(registers));
    to->length = (int)COMPAT_SYSCALL_ARGUMENT_3(registers);
    if (to->length >= SOCKADDR_IN6_LEN)
        bpf_probe_read_user(&to->address, SOCKADDR_IN6_LEN, from);
    else if (to->length >= SOCKADDR_IN_LEN)
        bpf_probe_read_user(&to->address, SOCKADDR_IN_LEN, from);
}

static __always_inline int call_connect_exits(long result) {
    struct call_arguments arguments = {};

    if (!call_is_failure((int)-result)) return 0;
    call_read_arguments(&arguments);
    return arguments.sk
               ? call_connect_failed(arguments.sk, &arguments.address, arguments.length, (int)-result)
               : 0;
}

static __always_inline int call_bind_exits(long result) {
    struct call_arguments arguments = {};

    if (result >= 0) return 0;
    call_read_arguments(&arguments);
    return arguments.sk ? call_bind_failed(arguments.sk, &arguments.address, arguments.length, (int)-result)
                        : 0;
}

#endif
