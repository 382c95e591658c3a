/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the iterators write besides records: one element each. */
#ifndef TCPTRAIL_ABI_WALK_H
#define TCPTRAIL_ABI_WALK_H

#include "bpf/abi/listener.h"
#include "bpf/abi/record.h"

/* A walk copies sockets of at most this size. struct tcp_sock has about 2,400 bytes; the user side looks. */
#define TCPTRAIL_WALK_SOCKET_BYTES 4096

/* A connection that is still open: what the sweep leaves. */
struct tcptrail_open {
    __u8 remote[16];   /* network byte order; IPv4 in the first four */
    __u32 netns;       /* inode */
    __u16 remote_port; /* host byte order */
    __u16 family;      /* 0: not established yet, its addresses are not known */
    __u32 flags;       /* enum tcptrail_birth_flag */
    __u8 role;         /* enum tcptrail_role */
    __u8 pad[3];
};

/* A process and the network namespace that it is in. */
struct tcptrail_task_netns {
    __u64 netns_cookie; /* of the namespace, unique within a boot: inodes are used again */
    __u32 pid;          /* initial pid namespace; of a thread where the process's first one has ended */
    __u32 netns;        /* inode */
    __u16 port_first;   /* net.ipv4.ip_local_port_range; both ends are included */
    __u16 port_last;
    __u32 pad;
};

/*
 * Over slots, and where the kernel refuses iterators over maps: the user side writes a key and, to walk, its
 * value, runs the program once, which answers how many bytes it has written to the member of its kind.
 */
struct tcptrail_by_key {
    __u64 key;
    __u64 in_slot; /* 1: the birth is in its slot; 0: in the map `connections` */
    struct tcptrail_birth birth;
    struct tcptrail_listener listener;
    struct tcptrail_record record;
    struct tcptrail_listener_record listener_record;
    struct tcptrail_open open;
};

TCPTRAIL_ASSERT_SIZE(tcptrail_open, 32);
TCPTRAIL_ASSERT_SIZE(tcptrail_task_netns, 24);

#endif
