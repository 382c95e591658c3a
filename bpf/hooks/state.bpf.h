/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tp_btf/inet_sock_set_state: every TCP state change of a full socket; the spine.
 *
 * Reached from inet_sk_state_store() and inet_sk_set_state(), through which every change has to go
 * (Linux 4.16). CLOSE → SYN_SENT runs in the caller's connect(), CLOSE → LISTEN in listen(),
 * ESTABLISHED → FIN_WAIT1 in close(), shutdown() or exit(): there `current` is who did it. The rest
 * runs mostly in softirq. The trace comes before the store: sk_state is still the old one.
 */
#ifndef TCPTRAIL_HOOKS_STATE_BPF_H
#define TCPTRAIL_HOOKS_STATE_BPF_H

#include "bpf/lib/emit.bpf.h"

/* After an end that no hook saw no socket is born this soon at the same address with the same cookie. */
#define STATE_SAME_BIRTH_NS 1000000ull

/*
 * A socket's address is taken again while its birth is still there: its end was seen by no hook. Unless it is
 * this very birth, which the programs of another generation have stored: see emit_note_end(). True: it is.
 */
static __always_inline bool state_clear_stale(__u64 key, const struct tcptrail_birth* birth, __u64 now) {
    struct tcptrail_birth* stale = store_get(key);

    if (!stale) return false;
    if (stale->cookie == birth->cookie && stale->state == birth->state &&
        now - stale->opened_ns < STATE_SAME_BIRTH_NS)
        return true;
    emit_end_missed(key, stale, stale->cookie, now);
    return false;
}

static __always_inline void state_insert(__u64 key, const struct tcptrail_birth* birth, __u32 counter,
                                         __u64 now) {
    long error = store_insert(key, birth);

    if (error == -EEXIST) {
        if (state_clear_stale(key, birth, now)) return;
        error = store_insert(key, birth);
    }
    count(error ? TCPTRAIL_BIRTHS_NOT_STORED : counter);
}

/* MPTCP opens further subflows from a worker. They are whose the first one is, as long as that is open. */
static __always_inline void state_inherit_owner(struct tcptrail_birth* to, const struct tcp_sock* tp) {
    const struct sock* first = compat_first_subflow(tp);
    struct tcptrail_birth* birth = first ? store_find(first) : NULL;

    if (birth) owner_assign(to, &birth->owner, birth->thread_name, birth->owner_source);
}

static __always_inline void state_connect(struct sock* sk, const struct tcp_sock* tp) {
    struct tcptrail_birth birth = {};
    __u64 now = clock_read();

    birth.cookie = bpf_get_socket_cookie(sk);
    emit_forget_end(birth.cookie);
    birth.opened_ns = now;
    birth.role = TCPTRAIL_ROLE_CLIENT;
    birth.state = TCP_SYN_SENT;
    birth.owner.cgroup_id = compat_cgroup_id(sk);
    owner_set_current(&birth, TCPTRAIL_OWNER_CONNECT);
    if (!birth.owner.actor.pid) state_inherit_owner(&birth, tp);
    if (birth.owner.actor.pid == self_tgid && !config.include_self) birth.flags |= TCPTRAIL_BIRTH_IGNORED;
    read_addresses(&birth, sk, tp);
    state_insert((__u64)sk, &birth, TCPTRAIL_BIRTHS_CLIENT, now);
}

/*
 * The child's addresses but its namespace are not set yet: they are read when it is established. Nor is its
 * cookie: before the consolidation of inet_csk_clone_lock() (between Linux 6.12 and 6.18) that function sets
 * it after this change of state.
 */
static __always_inline void state_child(struct sock* child, const struct tcp_sock* tp) {
    struct tcptrail_birth birth = {};
    __u64 now = clock_read(), listener = owner_listener_of_clone(tp);
    struct tcptrail_listener* parent = bpf_map_lookup_elem(&listeners, &listener);

    birth.opened_ns = now;
    birth.role = TCPTRAIL_ROLE_SERVER;
    if (parent) {
        owner_assign(&birth, &parent->owner, parent->thread_name, TCPTRAIL_OWNER_LISTENER);
        if (parent->owner.actor.pid == self_tgid && !config.include_self)
            birth.flags |= TCPTRAIL_BIRTH_IGNORED;
    }
    birth.owner.cgroup_id = compat_cgroup_id(child);
    birth.netns = child->__sk_common.skc_net.net->ns.inum;
    birth.state = TCP_SYN_RECV;
    state_insert((__u64)child, &birth, TCPTRAIL_BIRTHS_SERVER, now);
}

static __always_inline void state_listen(struct sock* sk) {
    struct task_struct* task = bpf_get_current_task_btf();
    struct tcptrail_listener listener = {};
    __u64 key = (__u64)sk;

    listener.cookie = bpf_get_socket_cookie(sk);
    listener.opened_ns = clock_read();
    listener.owner.cgroup_id = compat_cgroup_id(sk);
    if (!owner_is_kernel(task)) {
        owner_set_process(&listener.owner, listener.thread_name, task);
        listener.owner_source = TCPTRAIL_OWNER_LISTENER;
    }
    if (bpf_map_update_elem(&listeners, &key, &listener, BPF_ANY)) count(TCPTRAIL_LISTENERS_NOT_STORED);
}

static __always_inline void state_established(struct tcptrail_birth* birth, const struct sock* sk,
                                              const struct tcp_sock* tp, __u64 now) {
    birth->flags |= TCPTRAIL_BIRTH_ESTABLISHED;
    birth->syn_retransmits = tp->total_retrans < 0xffff ? tp->total_retrans : 0xffff;
    /* The first sample of a child is the time from SYN-ACK to its acknowledgement, if it was sent once. */
    if (birth->role == TCPTRAIL_ROLE_SERVER && !tp->total_retrans) birth->synack_rtt_us = tp->srtt_us >> 3;
    /* A reset that was sent for somebody else's segment did not end this connection. */
    birth->reset_direction = TCPTRAIL_RESET_NONE;
    read_addresses(birth, sk, tp);
    if (config.tell_opened) emit_opened(sk, tp, birth, now);
}

/*
 * Whether a change to CLOSE is a local abort, which sends its reset only after it: close() with
 * unread data, SO_LINGER 0, connect(AF_UNSPEC) (tcp_close, tcp_disconnect). All other ways out of
 * these states leave a mark: an error, a reset, the peer's FIN (SOCK_DONE) or an orphan's TIME_WAIT
 * (SOCK_DEAD; close() marks it only later).
 */
static __always_inline bool state_is_local_abort(const struct sock* sk, const struct tcptrail_birth* birth,
                                                 int from) {
    if (sk->sk_err || birth->reset_direction != TCPTRAIL_RESET_NONE) return false;
    switch (from) {
        case TCP_ESTABLISHED:
        case TCP_CLOSE_WAIT:
        case TCP_SYN_RECV:
            return true;
        case TCP_FIN_WAIT1:
        case TCP_FIN_WAIT2:
            return !read_flag(sk, SOCK_DEAD) && !read_flag(sk, SOCK_DONE);
        default:
            return false;
    }
}

/* Taken out of the kernel by TCP_REPAIR and close(), as CRIU does it: nothing is sent. */
static __always_inline bool state_is_taken_out(const struct tcp_sock* tp) {
    return BPF_CORE_READ_BITFIELD(tp, repair);
}

/* A child's cookie, at the first change that follows its birth. */
static __always_inline void state_take_cookie(struct tcptrail_birth* birth, struct sock* sk) {
    if (!birth->cookie) birth->cookie = bpf_get_socket_cookie(sk);
}

/*
 * Whether connect() has still to return how this attempt ended; see hooks/call. It has not been told that it
 * began (SYN_SENT and no SS_CONNECTING: it fails in this very call), or that it is established (blocking, or
 * not asked again). Without an error it was ended from here, by close() or a disconnect: nobody will ask.
 */
static __always_inline void state_remember_failure(struct sock* sk, int from) {
    struct failed_attempt attempt = {.error = sk->sk_err};
    __u64 key = (__u64)sk;
    bool connecting = sk->sk_socket && sk->sk_socket->state == SS_CONNECTING;

    if (connecting ? !attempt.error : from != TCP_SYN_SENT) return;
    attempt.cookie = bpf_get_socket_cookie(sk);
    bpf_map_update_elem(&failed_attempts, &key, &attempt, BPF_ANY);
}

/*
 * The errno with which the kernel ended an attempt although sk_err is 0: the application asked for it
 * (SO_ERROR takes no lock) between the error and this change. What ends an attempt of its own accord holds
 * the lock as its user; a reset, a timer and ICMP do not. Of an ICMP message the errno is not known: 0.
 */
static __always_inline int state_fetched_error(const struct sock* sk, const struct tcp_sock* tp,
                                               const struct tcptrail_birth* birth) {
    if (birth->reset_direction == TCPTRAIL_RESET_RECEIVED) return ECONNREFUSED;
    if (tp->inet_conn.icsk_pending) return 0; /* the timer that would send the SYN again still runs */
    return sk->sk_err_soft ? sk->sk_err_soft : ETIMEDOUT;
}

/*
 * By a segment or a timer, of which TCP has looked at the clock. Elsewhere an ICMP message may end an
 * attempt, and a listener throws its children away, without.
 */
static __always_inline bool state_ends_by_itself(int from) {
    return from == TCP_FIN_WAIT1 || from == TCP_FIN_WAIT2 || from == TCP_CLOSING || from == TCP_LAST_ACK;
}

static __always_inline void state_close(struct sock* sk, const struct tcp_sock* tp, int from) {
    struct tcptrail_birth* birth = store_find(sk);
    __u64 now = state_ends_by_itself(from) ? clock_of(sk, tp) : clock_read();
    bool given_up = false;

    state_remember_failure(sk, from);
    if (birth && birth->flags & TCPTRAIL_BIRTH_ENDING) return; /* seen by two generations */
    if (!birth) {
        emit_end_without_birth(sk, tp, from, now);
        return;
    }
    if (now < store_last_ns(birth)) now = store_last_ns(birth);
    state_take_cookie(birth, sk);
    if (birth->state != from) birth->flags |= TCPTRAIL_BIRTH_STATES_GAP;
    if (from == TCP_SYN_SENT) {
        int error = sk->sk_err; /* may be gone before the record is filled */

        given_up = !error && sk->sk_lock.owned;
        /* An ICMP message's errno that the application has not fetched did not end the attempt; see
         * hooks/error. */
        if (given_up && sk->sk_err_soft) birth->reported_error = 0;
        if (given_up && birth->reported_error) given_up = false;
        if (error)
            birth->reported_error = error;
        else if (!given_up && !birth->reported_error)
            birth->reported_error = state_fetched_error(sk, tp, birth);
    }
    bool taken_out = state_is_taken_out(tp);
    bool aborted = !taken_out && state_is_local_abort(sk, birth, from);
    /* Abandoned, aborted, taken out or killed (ss -K): this runs in the call that did it. */
    if (aborted || given_up || taken_out || sk->sk_err == ECONNABORTED) owner_set_ended_by((__u64)sk, birth);
    birth->state = from;
    if (aborted) {
        birth->flags |= TCPTRAIL_BIRTH_ENDING; /* hooks/reset or hooks/destroy tells it, in the same call */
        birth->reset_ns = now;
        birth->reset_state = from;
        return;
    }
    emit_end(sk, tp, birth, 0, now);
}

/*
 * close() and shutdown() send a FIN (tcp_close_state()), and connect() of a socket in TCP_REPAIR restores a
 * connection (tcp_connect()); to all other states a segment leads.
 */
static __always_inline __u64 state_step_ns(const struct sock* sk, const struct tcp_sock* tp, int to) {
    bool is_called = to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK ||
                     (to == TCP_ESTABLISHED && BPF_CORE_READ_BITFIELD(tp, repair));

    return is_called ? clock_of(sk, tp) : clock_of_segment(tp);
}

static __always_inline void state_step(struct sock* sk, const struct tcp_sock* tp, int from, int to) {
    struct tcptrail_birth* birth = store_find(sk);
    __u64 now;

    if (!birth || birth->state == to) return; /* seen by two generations */
    state_take_cookie(birth, sk);
    now = state_step_ns(sk, tp, to);
    if (birth->state != from) birth->flags |= TCPTRAIL_BIRTH_STATES_GAP;
    store_state(birth, to, now);
    if (to == TCP_ESTABLISHED)
        state_established(birth, sk, tp, now);
    else if (to == TCP_FIN_WAIT1)
        owner_set_ended_by((__u64)sk, birth);
}

static __always_inline int state_changed(struct sock* sk, int from, int to) {
    struct tcp_sock* tp;
    __u64 key = (__u64)sk;

    if (!read_is_tcp(sk) || from == to) return 0;
    clock_tick();
    tp = bpf_skc_to_tcp_sock(sk);
    if (!tp) return 0;
    if (to == TCP_SYN_SENT)
        state_connect(sk, tp);
    else if (from == TCP_LISTEN && to == TCP_SYN_RECV)
        state_child(sk, tp);
    else if (to == TCP_LISTEN)
        state_listen(sk);
    else if (from == TCP_LISTEN)
        bpf_map_delete_elem(&listeners, &key);
    else if (to == TCP_CLOSE)
        state_close(sk, tp, from);
    else
        state_step(sk, tp, from, to);
    return 0;
}

#endif
