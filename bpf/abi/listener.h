/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Listening sockets: the value of the map `listeners`, and what the iterator over it tells of each. */
#ifndef TCPTRAIL_ABI_LISTENER_H
#define TCPTRAIL_ABI_LISTENER_H

#include "bpf/abi/record.h"

/* What is remembered of listen(). */
struct tcptrail_listener {
    __u64 cookie;    /* of the socket */
    __u64 opened_ns; /* CLOCK_BOOTTIME; 0: it listened before the capture */
    struct tcptrail_owner owner;
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

TCPTRAIL_ASSERT_SIZE(tcptrail_listener, 80);
TCPTRAIL_ASSERT_SIZE(tcptrail_listener_record, 152);

#endif
