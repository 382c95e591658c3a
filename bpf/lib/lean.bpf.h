/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Layer 1: the short form of a record. Every byte is written before it is known whether all fits. */
#ifndef TCPTRAIL_LIB_LEAN_BPF_H
#define TCPTRAIL_LIB_LEAN_BPF_H

#include "bpf/abi/lean.h"
#include "bpf/lib/store.bpf.h"

/* Whether there may be something to tell for which the short form has no place. */
static __always_inline bool lean_is_likely(const struct tcptrail_birth* birth, const struct tcp_sock* tp) {
    const __u32 more = TCPTRAIL_BIRTH_HAS_DETAILS | TCPTRAIL_BIRTH_ADOPTED | TCPTRAIL_BIRTH_MISSED;

    return !(birth->flags & more) && birth->family == AF_INET && !birth->ifindex &&
           store_same_name(birth->thread_name, birth->owner.actor.name) && !read_has_trouble(tp);
}

static __always_inline __u64 lean_steps(__u64 nanos) {
    return nanos >> TCPTRAIL_LEAN_STEP_SHIFT;
}

/* The result is at least 1 << 32 where a time does not fit. */
static __always_inline __u64 lean_fill_times(struct tcptrail_lean* to, const struct tcptrail_birth* birth,
                                             __u64 now) {
    __u64 lifetime = now - birth->opened_ns, steps, all = 0;
    __u16 states = 0;

#pragma unroll
    for (int i = 0; i < TCPTRAIL_TIMELINE_LEN; i++) {
        __u64 at = birth->timeline[i] >> 4;
        __u8 state = birth->timeline[i] & 0xf;
        bool is_early = state == TCP_ESTABLISHED || state == TCP_SYN_RECV;

        steps = i < birth->timeline_len ? lean_steps(is_early ? at : lifetime - at) : 0;
        to->timeline_steps[i] = steps;
        states |= state << (4 * i);
        all |= steps;
    }
    to->timeline_states = states;
    /* 1: at once. */
    steps = birth->accepted_ns ? lean_steps(birth->accepted_ns - birth->opened_ns) | 1 : 0;
    to->accepted_steps = steps;
    all |= steps;
    steps = birth->reset_direction != TCPTRAIL_RESET_NONE ? lean_steps(now - birth->reset_ns) : 0;
    to->reset_steps = steps;
    return all | steps;
}

static __always_inline void lean_fill_birth(struct tcptrail_lean* to, const struct tcptrail_birth* birth) {
    to->cookie = birth->cookie;
    to->opened_ns = birth->opened_ns;
    to->cgroup_id = birth->owner.cgroup_id;
    to->start_ns = birth->owner.start_ns;
    to->pid = birth->owner.actor.pid;
    to->uid = birth->owner.actor.uid;
    __builtin_memcpy(to->name, birth->owner.actor.name, sizeof(to->name));
    __builtin_memcpy(to->local, birth->local, sizeof(to->local));
    __builtin_memcpy(to->remote, birth->remote, sizeof(to->remote));
    to->local_port = birth->local_port;
    to->remote_port = birth->remote_port;
    to->netns = birth->netns;
    to->synack_rtt_us = birth->synack_rtt_us;
    to->birth_flags = birth->flags;
    to->reported_error = birth->reported_error;
    to->reset_reason = birth->reset_reason;
    to->syn_retransmits = birth->syn_retransmits;
    to->owner_source = birth->owner_source;
    to->role = birth->role;
    to->state = birth->state;
    to->timeline_len = birth->timeline_len;
    to->reset_direction = birth->reset_direction;
    to->reset_state = birth->reset_state;
}

/* Stores a count; what does not fit its member is seen in `all`. Each by itself: registers are few. */
#define LEAN_COUNT(member, count)   \
    do {                            \
        __u32 lean_count = (count); \
                                    \
        to->member = lean_count;    \
        all |= lean_count;          \
        barrier_var(all);           \
    } while (0)
#define LEAN_BYTES(member, count)   \
    do {                            \
        __u64 lean_bytes = (count); \
                                    \
        to->member = lean_bytes;    \
        bytes |= lean_bytes;        \
        barrier_var(bytes);         \
    } while (0)

/* The result is at least 1 << 32 where a count does not fit. */
static __always_inline __u64 lean_fill_socket(struct tcptrail_lean* to, const struct sock* sk,
                                              const struct tcp_sock* tp) {
    const char* congestion = tp->inet_conn.icsk_ca_ops->name;
    const __u32* begin = (const __u32*)congestion;
    __u32 ssthresh = tp->snd_ssthresh, now = (__u32)bpf_jiffies64(), all = 0;
    __u64 bytes = 0;

    LEAN_BYTES(bytes_sent, tp->bytes_sent);
    LEAN_BYTES(bytes_acked, tp->bytes_acked);
    LEAN_BYTES(bytes_received, tp->bytes_received);
    to->rate_interval_us = tp->rate_interval_us;
    to->srtt_us = tp->srtt_us;
    to->mdev_us = tp->mdev_us;
    to->rtt_min_us = tp->rtt_min.s[0].v;
    to->receive_rtt_us = tp->rcv_rtt_est.rtt_us;
    to->quiet_jiffies = read_quiet(tp, now);
    to->keepalive_idle_jiffies = read_keepalive_idle(sk, tp);
    to->busy_jiffies = read_chrono(tp, 0, now);
    LEAN_COUNT(segments_out, tp->segs_out);
    LEAN_COUNT(segments_in, tp->segs_in);
    LEAN_COUNT(data_segments_out, tp->data_segs_out);
    LEAN_COUNT(data_segments_in, tp->data_segs_in);
    LEAN_COUNT(rate_delivered, tp->rate_delivered);
    LEAN_COUNT(receive_queue, tp->rcv_nxt - tp->copied_seq);
    LEAN_COUNT(cwnd, tp->snd_cwnd);
    LEAN_COUNT(mss, tp->mss_cache);
    if (ssthresh >= READ_SSTHRESH_INFINITE)
        ssthresh = TCPTRAIL_LEAN_SSTHRESH_INFINITE;
    else if (ssthresh >= TCPTRAIL_LEAN_SSTHRESH_INFINITE)
        all |= ~0u;
    to->ssthresh = ssthresh;
    to->error = sk->sk_err;
    to->shutdown = sk->sk_shutdown;
    *(__u32*)to->congestion = begin[0]; /* a load each: a helper takes 18 ns */
    *(__u32*)(to->congestion + sizeof(*begin)) = begin[1];
    __builtin_memset(to->pad, 0, sizeof(to->pad));
    return bytes | (__u64)(all >> 16 | congestion[sizeof(to->congestion)]) << 32;
}

/* False: it does not fit. */
static __always_inline bool lean_fill(struct tcptrail_lean* to, const struct sock* sk,
                                      const struct tcp_sock* tp, const struct tcptrail_birth* birth,
                                      __u32 flags, __u64 now) {
    to->version = TCPTRAIL_RECORD_VERSION;
    to->size = sizeof(*to);
    to->flags = flags;
    to->ended_ns = now;
    lean_fill_birth(to, birth);
    return !((lean_fill_times(to, birth, now) | lean_fill_socket(to, sk, tp)) >> 32) &&
           birth->syn_retransmits <= 0xff;
}

#endif
