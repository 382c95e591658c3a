/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Listening sockets: the value of the map `listeners`, and what the iterator over it tells of each. */
#ifndef TCPTRAIL_ABI_LISTENER_H
#define TCPTRAIL_ABI_LISTENER_H

#include "bpf/abi/record.h"

/* Both ends, network byte order; an IPv4 address is in the first four bytes. */
struct tcptrail_addresses {
    __u8 local[16];
    __u8 remote[16];
    __u16 local_port;  /* host byte order; 0: none was assigned */
    __u16 remote_port; /* host byte order */
    __u16 family;      /* AF_INET, AF_INET6 */
    __u16 pad;
    __u32 netns;   /* inode */
    __u32 ifindex; /* that the socket is bound to: the scope of a link-local address */
};

/* What is remembered of listen(). */
struct tcptrail_listener {
    __u64 cookie;    /* of the socket */
    __u64 opened_ns; /* CLOCK_BOOTTIME; 0: it listened before the capture */
    struct tcptrail_owner owner;
    char thread_name[TCPTRAIL_NAME_LEN];
    __u32 owner_source; /* enum tcptrail_owner_source */
    __u32 pad;
};

/* How it is now. */
struct tcptrail_listener_record {
    __u16 version; /* TCPTRAIL_RECORD_VERSION */
    __u16 size;    /* of this struct */
    __u32 pad;
    struct tcptrail_listener listener;
    struct tcptrail_addresses addresses; /* remote: empty */
    __u32 accept_queue;                  /* established, waiting for accept() */
    __u32 accept_queue_limit;            /* the kernel drops once there are more than this */
    __u32 syn_queue;                     /* attempts that are not established yet */
    __u32 drops; /* SYNs and last ACKs of handshakes that were dropped, since it listens; wraps */
};

TCPTRAIL_ASSERT_SIZE(tcptrail_addresses, 48);
TCPTRAIL_ASSERT_SIZE(tcptrail_listener, 80);
TCPTRAIL_ASSERT_SIZE(tcptrail_listener_record, 152);

#endif
