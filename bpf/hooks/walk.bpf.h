/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * iter/bpf_map_elem over `connections` and over `listeners` (key by key, where that is refused, and over
 * `slots`), iter/task:
 * what is open now, for `list`, for PROGRESS events and for reports. What a walk finds it writes into the
 * iterator's own file, which the agent reads as fast as it can use it: a walk never takes room from the ring.
 *
 * First the birth is copied, which may become another's at any time, then its socket as a whole with
 * bpf_probe_read_kernel(). The copy is believed only if the cookie of the copied birth is in it and still in
 * its place after it. The functions that read a socket in the hooks read the copy.
 */
#ifndef TCPTRAIL_HOOKS_WALK_BPF_H
#define TCPTRAIL_HOOKS_WALK_BPF_H

#include "bpf/hooks/sweep.bpf.h"
#include "bpf/lib/emit.bpf.h"

enum walk_result {
    WALK_COPIED,
    WALK_GONE,   /* closed, or another one by now */
    WALK_UNREAD, /* the kernel does not let us; larger than TCPTRAIL_WALK_SOCKET_BYTES */
};

static __always_inline enum walk_result walk_copy(struct walk_scratch* scratch, __u64 from, __u64 cookie) {
    const struct sock* sk = (void*)scratch->socket;
    __u32 size = bpf_core_type_size(struct tcp_sock);

    if (size > sizeof(scratch->socket)) return WALK_UNREAD;
    if (bpf_probe_read_kernel(scratch->socket, size, (void*)from)) return WALK_UNREAD;
    if (!cookie || (__u64)sk->__sk_common.skc_cookie.counter != cookie || read_is_freed(sk)) return WALK_GONE;
    if ((__u64)BPF_CORE_READ((struct sock*)from, __sk_common.skc_cookie.counter) != cookie) return WALK_GONE;
    return sk->__sk_common.skc_state == TCP_CLOSE ? WALK_GONE : WALK_COPIED;
}

static __always_inline struct walk_scratch* walk_scratch_of(void) {
    __u32 zero = 0;

    return bpf_map_lookup_elem(&walk_scratch, &zero);
}

/* Children that are not established yet have no addresses; ends that are not complete are told at once. */
static __always_inline bool walk_wants(const struct tcptrail_birth* birth, __u64 now) {
    __u64 told = birth->told_ns ? birth->told_ns : birth->opened_ns;

    if (birth->flags & TCPTRAIL_BIRTH_ENDING) return false;
    if (birth->state == TCP_SYN_RECV && !(birth->flags & TCPTRAIL_BIRTH_ESTABLISHED)) return false;
    if (!walk_untold_ns) return true;
    /* Another CPU may have stamped it after our look at the clock. */
    return !(birth->flags & TCPTRAIL_BIRTH_IGNORED) && (__s64)(now - told) >= (__s64)walk_untold_ns;
}

/* NULL: nothing is to be told of it. */
static __always_inline struct tcptrail_record* walk_birth(__u64 key, const struct tcptrail_birth* birth,
                                                          __u64 now) {
    struct walk_scratch* scratch = walk_scratch_of();
    struct tcptrail_record* record;
    const struct tcp_sock* tp;
    const struct sock* sk;

    if (!scratch || !walk_wants(birth, now)) return NULL;
    record = &scratch->record;
    __builtin_memcpy(&record->birth, birth, sizeof(*birth));
    if (walk_copy(scratch, key, record->birth.cookie) != WALK_COPIED) return NULL;
    tp = (void*)scratch->socket;
    sk = (void*)scratch->socket;
    record->version = TCPTRAIL_RECORD_VERSION;
    record->size = sizeof(*record);
    record->flags = TCPTRAIL_RECORD_PROGRESS | read_socket_flags(sk, tp);
    if (record->birth.told_ns) record->flags |= TCPTRAIL_RECORD_TOLD_BEFORE;
    record->ended_ns = now;
    record->birth.state = sk->__sk_common.skc_state;
    read_socket(&record->socket, sk, tp);
    emit_fill_details(record, key);
    read_trouble(&record->trouble, tp);
    return record;
}

static __always_inline int walk_connection(const struct bpf_iter__bpf_map_elem* ctx) {
    struct tcptrail_birth* birth = ctx->value;
    __u64 *key = ctx->key, now = clock_read();
    const struct tcptrail_record* record;

    if (!key || !birth) return 0;
    record = walk_birth(*key, birth, now);
    /* Where there is no room for it this runs once more, after the next read(). */
    if (record && !bpf_seq_write(ctx->meta->seq, (void*)record, sizeof(*record)) && walk_untold_ns &&
        birth->cookie == record->birth.cookie)
        birth->told_ns = now;
    return 0;
}

static __always_inline int walk_connection_key(void) {
    __u64 key = by_key.key, now = clock_read();
    const struct tcptrail_record* record = walk_birth(key, &by_key.birth, now);
    struct tcptrail_birth* birth;

    if (!record) return 0;
    __builtin_memcpy(&by_key.record, record, sizeof(*record));
    if (!walk_untold_ns) return sizeof(*record);
    birth = sweep_stored(key);
    if (birth && birth->cookie == record->birth.cookie) birth->told_ns = now;
    return sizeof(*record);
}

static __always_inline void walk_listen_addresses(struct tcptrail_addresses* to, const struct sock* sk,
                                                  const struct tcp_sock* tp) {
    to->family = sk->__sk_common.skc_family;
    to->local_port = bpf_ntohs(tp->inet_conn.icsk_inet.inet_sport);
    to->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
    to->ifindex = sk->__sk_common.skc_bound_dev_if;
    if (to->family == AF_INET)
        *(__u32*)to->local = sk->__sk_common.skc_rcv_saddr;
    else
        bpf_probe_read_kernel(to->local, sizeof(to->local), &sk->__sk_common.skc_v6_rcv_saddr);
}

/* The trace of a change comes before the change: a listener is stored while its socket is still in TCP_CLOSE.
 */
static __always_inline void walk_forget_listener(__u64 key, const struct tcptrail_listener* listener) {
    if (!listener->opened_ns || clock_read() - listener->opened_ns > SWEEP_BIRTH_NS)
        bpf_map_delete_elem(&listeners, &key);
}

/* False: nothing is to be told of it. */
static __always_inline bool walk_listening(__u64 key, const struct tcptrail_listener* listener,
                                           struct tcptrail_listener_record* record) {
    struct walk_scratch* scratch = walk_scratch_of();
    enum walk_result result;
    const struct tcp_sock* tp;
    const struct sock* sk;

    if (!scratch) return false;
    __builtin_memset(record, 0, sizeof(*record));
    record->listener = *listener;
    result = walk_copy(scratch, key, record->listener.cookie);
    tp = (void*)scratch->socket;
    sk = (void*)scratch->socket;
    if (result == WALK_UNREAD) return false;
    if (result == WALK_GONE || sk->__sk_common.skc_state != TCP_LISTEN) {
        walk_forget_listener(key, &record->listener);
        return false;
    }
    record->version = TCPTRAIL_RECORD_VERSION;
    record->size = sizeof(*record);
    walk_listen_addresses(&record->addresses, sk, tp);
    record->accept_queue = sk->sk_ack_backlog;
    record->accept_queue_limit = sk->sk_max_ack_backlog;
    record->syn_queue = tp->inet_conn.icsk_accept_queue.qlen.counter;
    record->drops = sk->sk_drops.counter;
    return true;
}

static __always_inline int walk_listener(const struct bpf_iter__bpf_map_elem* ctx) {
    const struct tcptrail_listener* listener = ctx->value;
    struct tcptrail_listener_record record;
    __u64* key = ctx->key;

    if (!key || !listener) return 0;
    if (walk_listening(*key, listener, &record)) bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
    return 0;
}

static __always_inline int walk_listener_key(void) {
    return walk_listening(by_key.key, &by_key.listener, &by_key.listener_record)
               ? sizeof(by_key.listener_record)
               : 0;
}

/* A namespace by each process in it; by its threads, where the first has ended before them. */
static __always_inline int walk_task(const struct bpf_iter__task* ctx) {
    struct task_struct* task = ctx->task;
    struct tcptrail_task_netns found = {};
    struct net* net;

    if (!task || !task->nsproxy) return 0;
    if (task->pid != task->tgid && task->group_leader->nsproxy) return 0;
    net = task->nsproxy->net_ns;
    found.pid = task->pid;
    found.netns = net->ns.inum;
    found.netns_cookie = net->net_cookie;
    compat_port_range(net, &found.port_first, &found.port_last);
    bpf_seq_write(ctx->meta->seq, &found, sizeof(found));
    return 0;
}

#endif
