/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Layer 0: reads of kernel objects. Knows nothing of our maps. */
#ifndef TCPTRAIL_LIB_READ_BPF_H
#define TCPTRAIL_LIB_READ_BPF_H

#include <bpf/bpf_endian.h>

#include "bpf/abi/record.h"
#include "bpf/compat.bpf.h"

static __always_inline bool read_flag(const struct sock* sk, int bit) {
    return sk->__sk_common.skc_flags & (1ul << bit);
}

static __always_inline bool read_is_tcp(const struct sock* sk) {
    return sk->sk_protocol == IPPROTO_TCP;
}

/*
 * A socket that was freed has no references. Most else of it stays as it was until the memory, which may have
 * gone to another user with the whole slab, is written to; and that may begin with any part.
 */
static __always_inline bool read_is_freed(const struct sock* sk) {
    return !BPF_CORE_READ(sk, __sk_common.skc_refcnt.refs.counter);
}

static __always_inline bool read_is_mapped(const struct in6_addr* address) {
    const __be32* words = address->in6_u.u6_addr32;

    return !words[0] && !words[1] && words[2] == bpf_htonl(0xffff);
}

static __always_inline void read_address_rest(__u8* to, const struct in6_addr* from) {
    __be32* words = (__be32*)to;

    words[0] = from->in6_u.u6_addr32[1];
    words[1] = from->in6_u.u6_addr32[2];
    words[2] = from->in6_u.u6_addr32[3];
}

/*
 * inet_sport and not skc_num: inet_put_port() zeroes skc_num before the last change of an active
 * close, and leaves inet_sport.
 */
static __always_inline void read_addresses(struct tcptrail_birth* to, const struct sock* sk,
                                           const struct tcp_sock* tp) {
    const struct sock_common* common = &sk->__sk_common;

    to->family = common->skc_family;
    to->local_port = bpf_ntohs(tp->inet_conn.icsk_inet.inet_sport);
    to->remote_port = bpf_ntohs(common->skc_dport);
    to->netns = common->skc_net.net->ns.inum;
    to->ifindex = common->skc_bound_dev_if;
    if (to->family == AF_INET6 && read_is_mapped(&common->skc_v6_daddr)) to->family = AF_INET;
    if (to->family == AF_INET6) {
        *(__be32*)to->local = common->skc_v6_rcv_saddr.in6_u.u6_addr32[0];
        *(__be32*)to->remote = common->skc_v6_daddr.in6_u.u6_addr32[0];
        read_address_rest(to->local_rest, &common->skc_v6_rcv_saddr);
        read_address_rest(to->remote_rest, &common->skc_v6_daddr);
        return;
    }
    *(__be32*)to->local = common->skc_rcv_saddr;
    *(__be32*)to->remote = common->skc_daddr;
}

/*
 * Jiffies in which it was busy (0), limited by the receive window (1), by the send buffer (2), each apart
 * from the others. The one that runs counts up to now: tcp_get_info_chrono_stats().
 */
static __always_inline __u32 read_chrono(const struct tcp_sock* tp, __u32 which, __u32 now) {
    return tp->chrono_stat[which] + (compat_chrono_type(tp) == which + 1 ? now - tp->chrono_start : 0);
}

/* Since the later of the last data sent and received. Jiffies wrap: compared by difference. */
static __always_inline __u32 read_quiet(const struct tcp_sock* tp, __u32 now) {
    __u32 sent = now - tp->lsndtime, received = now - tp->inet_conn.icsk_ack.lrcvtime;

    return sent < received ? sent : received;
}

/*
 * first_tx_mstamp is set when data is sent while none is outstanding, and moves on to the send time of what
 * is acknowledged (tcp_rate_skb_sent(), tcp_rate_skb_delivered()); with pacing it may lie ahead. rack.mstamp
 * is the send time of the newest segment that was acknowledged (tcp_rack_advance()): neither a FIN nor a
 * keepalive's answer touches it. Both are CLOCK_MONOTONIC (tcp_clock_ns()).
 */
static __always_inline void read_crossing(struct tcptrail_trouble* to, const struct tcp_sock* tp) {
    __u64 now = bpf_ktime_get_ns() / 1000, first = tp->first_tx_mstamp, delivered = tp->rack.mstamp;

    to->first_sent_us = first < now ? now - first : 0;
    to->delivered_us = delivered && delivered < now ? now - delivered : 0;
}

/* keepalive_time_when(); 0 where keepalive is off. */
static __always_inline __u32 read_keepalive_idle(const struct sock* sk, const struct tcp_sock* tp) {
    if (!read_flag(sk, SOCK_KEEPOPEN)) return 0;
    return tp->keepalive_time ? tp->keepalive_time
                              : BPF_CORE_READ(sk, __sk_common.skc_net.net, ipv4.sysctl_tcp_keepalive_time);
}

/* TCP_INFINITE_SSTHRESH */
#define READ_SSTHRESH_INFINITE 0x7fffffffu

/* What tcp_sock has counted. Writes every byte of `to`. `sk` and `tp` may also point to a copy. */
static __always_inline void read_socket(struct tcptrail_socket* to, const struct sock* sk,
                                        const struct tcp_sock* tp) {
    to->bytes_sent = tp->bytes_sent;
    to->bytes_acked = tp->bytes_acked;
    to->bytes_received = tp->bytes_received;
    to->rate_delivered = tp->rate_delivered;
    to->rate_interval_us = tp->rate_interval_us;
    to->segments_out = tp->segs_out;
    to->segments_in = tp->segs_in;
    to->data_segments_out = tp->data_segs_out;
    to->data_segments_in = tp->data_segs_in;
    to->srtt_us = tp->srtt_us;
    to->mdev_us = tp->mdev_us;
    to->rtt_min_us = tp->rtt_min.s[0].v;
    to->receive_rtt_us = tp->rcv_rtt_est.rtt_us;
    to->cwnd = tp->snd_cwnd;
    to->ssthresh = tp->snd_ssthresh;
    to->quiet_jiffies = read_quiet(tp, (__u32)bpf_jiffies64());
    to->receive_queue = tp->rcv_nxt - tp->copied_seq;
    to->keepalive_idle_jiffies = read_keepalive_idle(sk, tp);
    to->mss = tp->mss_cache;
    to->error = sk->sk_err;
    to->shutdown = sk->sk_shutdown;
    __builtin_memset(to->pad, 0, sizeof(to->pad));
    bpf_probe_read_kernel(to->congestion, sizeof(to->congestion), tp->inet_conn.icsk_ca_ops->name);
    __builtin_memset(to->pad_end, 0, sizeof(to->pad_end));
}

/* Whether there is something in tcptrail_trouble besides the time in which it was busy, of which the type
 * is 1. */
static __always_inline bool read_has_trouble(const struct tcp_sock* tp) {
    return tp->total_retrans | tp->lost | tp->reord_seen | tp->dsack_dups | tp->rcv_ooopack |
           compat_rto_count(tp) | (tp->write_seq - tp->snd_una) | tp->chrono_stat[1] | tp->chrono_stat[2] |
           compat_chrono_type(tp) >> 1;
}

/* Writes every byte of `to`. */
static __always_inline void read_trouble(struct tcptrail_trouble* to, const struct tcp_sock* tp) {
    __u32 now = (__u32)bpf_jiffies64();

    to->bytes_retransmitted = tp->bytes_retrans;
    read_crossing(to, tp);
    to->retransmits = tp->total_retrans;
    to->rto_count = compat_rto_count(tp);
    to->lost = tp->lost;
    to->reordering = tp->reord_seen;
    to->dsack_duplicates = tp->dsack_dups;
    to->out_of_order_in = tp->rcv_ooopack;
    to->send_queue = tp->write_seq - tp->snd_una;
    to->chrono_jiffies[0] = read_chrono(tp, 0, now);
    to->chrono_jiffies[1] = read_chrono(tp, 1, now);
    to->chrono_jiffies[2] = read_chrono(tp, 2, now);
    to->received_jiffies = now - tp->inet_conn.icsk_ack.lrcvtime;
    to->acked_jiffies = now - tp->rcv_tstamp;
}

/* `flag` where that bit is set, without a branch. */
static __always_inline __u32 read_bit(__u64 bits, int bit, __u32 flag) {
    return (bits >> bit & 1) * flag;
}

/*
 * Bits of enum tcptrail_record_flag that tell of the socket. The verifier walks all that follows a branch
 * once more where the flags are known to be others.
 */
static __always_inline __u32 read_socket_flags(const struct sock* sk, const struct tcp_sock* tp) {
    __u64 bits = sk->__sk_common.skc_flags;
    __u32 flags = read_bit(bits, SOCK_DEAD, TCPTRAIL_RECORD_ORPHAN) |
                  read_bit(bits, SOCK_DONE, TCPTRAIL_RECORD_FIN_RECEIVED) |
                  read_bit(bits, SOCK_KEEPOPEN, TCPTRAIL_RECORD_KEEPALIVE);

    flags |= read_bit(BPF_CORE_READ_BITFIELD(tp, nonagle), 0, TCPTRAIL_RECORD_NODELAY); /* TCP_NAGLE_OFF */
    flags |= read_bit(BPF_CORE_READ_BITFIELD(tp, syn_data_acked), 0, TCPTRAIL_RECORD_FAST_OPEN);
    if (compat_is_mptcp(tp)) flags |= TCPTRAIL_RECORD_MPTCP;
    if (compat_has_rto_count(tp)) flags |= TCPTRAIL_RECORD_HAS_RTO_COUNT;
    return flags;
}

#endif
