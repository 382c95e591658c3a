/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel types that we read, field by field. There is no vmlinux.h: a build needs no BTF of the
 * build host, and a reader sees at a glance what we touch. CO-RE relocates every access to the
 * running kernel; only names and types matter here, not offsets.
 */
#ifndef TCPTRAIL_KERNEL_BPF_H
#define TCPTRAIL_KERNEL_BPF_H

#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define IPPROTO_MPTCP 262
#define ERESTARTSYS 512 /* and above: the kernel's own, never seen by an application */
#define TCP_NAGLE_OFF 1
#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */

/* enum sock_flags of include/net/sock.h: bits of skc_flags. Unchanged since Linux 2.6. */
#define SOCK_DEAD 0
#define SOCK_DONE 1
#define SOCK_KEEPOPEN 3

/* enum tcp_ca_state of include/uapi/linux/tcp.h */
#define TCP_CA_RECOVERY 3
#define TCP_CA_LOSS 4

/* include/net/tcp_states.h */
enum tcp_state {
    TCP_ESTABLISHED = 1,
    TCP_SYN_SENT,
    TCP_SYN_RECV,
    TCP_FIN_WAIT1,
    TCP_FIN_WAIT2,
    TCP_TIME_WAIT,
    TCP_CLOSE,
    TCP_CLOSE_WAIT,
    TCP_LAST_ACK,
    TCP_LISTEN,
    TCP_CLOSING,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head {
    struct list_head* next;
};

typedef struct {
    int counter;
} atomic_t;

typedef struct {
    __s64 counter;
} atomic64_t;

struct in6_addr {
    union {
        __be32 u6_addr32[4];
    } in6_u;
};

struct ns_common {
    unsigned int inum;
};

struct local_ports {
    __u32 range; /* last << 16 | first */
};

struct local_ports___array {
    int range[2];
};

struct netns_ipv4 {
    int sysctl_tcp_keepalive_time;
    struct local_ports ip_local_ports;
};

struct net {
    struct ns_common ns;
    __u64 net_cookie;
    struct netns_ipv4 ipv4;
};

typedef struct {
    struct net* net;
} possible_net_t;

struct kernfs_node {
    __u64 id;
};

struct cgroup {
    struct kernfs_node* kn;
};

struct sock_cgroup_data {
    struct cgroup* cgroup;
};

typedef struct {
    atomic_t refs;
} refcount_t;

struct sock_common {
    __be32 skc_daddr;
    __be32 skc_rcv_saddr;
    __be16 skc_dport;
    __u16 skc_num;
    short unsigned int skc_family;
    volatile unsigned char skc_state;
    int skc_bound_dev_if;
    possible_net_t skc_net;
    struct in6_addr skc_v6_daddr;
    struct in6_addr skc_v6_rcv_saddr;
    atomic64_t skc_cookie;
    long unsigned int skc_flags;
    refcount_t skc_refcnt;
};

struct socket;

typedef struct {
    int owned;
} socket_lock_t;

struct sk_buff;

struct sk_buff_head {
    struct sk_buff* prev;
};

struct sock {
    struct sock_common __sk_common;
    socket_lock_t sk_lock;
    struct sk_buff_head sk_error_queue;
    int sk_err;
    int sk_err_soft;
    __u16 sk_protocol;
    __u8 sk_shutdown;
    __u32 sk_ack_backlog;
    __u32 sk_max_ack_backlog;
    atomic_t sk_drops;
    struct socket* sk_socket;
    struct sock_cgroup_data sk_cgrp_data;
};

struct inet_sock {
    struct sock sk;
    __be16 inet_sport;
};

struct tcp_congestion_ops {
    char name[16];
};

struct request_sock_queue {
    atomic_t qlen;
};

struct inet_connection_sock {
    struct inet_sock icsk_inet;
    const struct tcp_congestion_ops* icsk_ca_ops;
    struct request_sock_queue icsk_accept_queue;
    __u8 icsk_ca_state : 5;
    __u8 icsk_pending;
    void* icsk_ulp_data;
    struct {
        __u32 lrcvtime;
    } icsk_ack;
};

struct minmax_sample {
    __u32 v;
};

struct minmax {
    struct minmax_sample s[3];
};

struct tcp_rack {
    __u64 mstamp;
};

struct tcp_sock {
    struct inet_connection_sock inet_conn;
    struct tcp_rack rack;
    __u64 first_tx_mstamp;
    __u64 tcp_clock_cache;
    __u32 rcv_tstamp;
    __u64 bytes_sent;
    __u64 bytes_acked;
    __u64 bytes_received;
    __u64 bytes_retrans;
    __u32 segs_out;
    __u32 segs_in;
    __u32 data_segs_out;
    __u32 data_segs_in;
    __u32 total_retrans;
    __u16 total_rto;
    __u32 lost;
    __u32 reord_seen;
    __u32 dsack_dups;
    __u32 rcv_ooopack;
    __u32 srtt_us;
    __u32 mdev_us;
    struct minmax rtt_min;
    struct {
        __u32 rtt_us;
    } rcv_rtt_est;
    __u32 snd_cwnd;
    __u32 snd_ssthresh;
    __u32 mss_cache;
    __u32 rate_delivered;
    __u32 rate_interval_us;
    __u32 chrono_start;
    __u32 chrono_stat[3];
    __u8 chrono_type : 2;
    __u8 nonagle : 4;
    __u8 syn_data_acked : 1;
    __u8 repair : 1;
    __u32 lsndtime;
    __u32 write_seq;
    __u32 snd_una;
    __u32 rcv_nxt;
    __u32 copied_seq;
    unsigned int keepalive_time;
    struct list_head tsq_node;
    _Bool is_mptcp;
};

struct sk_buff {
    unsigned int len;
    char cb[48];
};

/* What is in cb of those in sk_error_queue (include/linux/errqueue.h). */
struct sock_extended_err {
    __u32 ee_errno;
    __u8 ee_origin;
};

struct sock_exterr_skb {
    struct sock_extended_err ee;
};

struct mptcp_sock {
    struct sock* first;
};

struct mptcp_subflow_context {
    __u32 mp_capable : 1;
    __u32 mp_join : 1;
    struct sock* conn;
};

struct request_sock;
struct bpf_map;

struct file {
    void* private_data;
};

struct fdtable {
    unsigned int max_fds;
    struct file** fd;
};

struct files_struct {
    struct fdtable* fdt;
};

struct nsproxy {
    struct net* net_ns;
};

struct task_struct {
    unsigned int flags;
    int pid;
    int tgid;
    struct nsproxy* nsproxy;
    struct task_struct* group_leader;
    __u64 start_boottime;
    char comm[16];
    struct files_struct* files;
};

struct seq_file;

/* include/uapi/linux/net.h. SS_CONNECTING: connect() has not returned its result yet. */
typedef enum {
    SS_FREE = 0,
    SS_UNCONNECTED,
    SS_CONNECTING,
} socket_state;

struct socket {
    socket_state state;
    struct file* file;
    struct sock* sk;
};

struct trace_event_raw_sys_exit {
    long ret;
};

#if defined(__TARGET_ARCH_arm64)
struct pt_regs {
    __u64 regs[31];
    __u64 orig_x0;
};
#elif defined(__TARGET_ARCH_x86)
struct pt_regs {
    unsigned long dx;
    unsigned long si;
    unsigned long di;
};
#endif

struct bpf_iter_meta {
    struct seq_file* seq;
    __u64 session_id;
    __u64 seq_num;
};

struct bpf_iter__task_file {
    struct bpf_iter_meta* meta;
    struct task_struct* task;
    __u32 fd;
    struct file* file;
};

struct bpf_iter__task {
    struct bpf_iter_meta* meta;
    struct task_struct* task;
};

struct bpf_iter__bpf_map_elem {
    struct bpf_iter_meta* meta;
    struct bpf_map* map;
    void* key;
    void* value;
};

#pragma clang attribute pop

#endif
