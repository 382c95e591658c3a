/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lifecycles for which the ring had no room: key and value of the map `untold`. The key is what a record is
 * classified by and no more, so that the user side makes the same outcome and end of it.
 */
#ifndef TCPTRAIL_ABI_UNTOLD_H
#define TCPTRAIL_ABI_UNTOLD_H

#include "bpf/abi/record.h"

enum tcptrail_untold_fact {
    TCPTRAIL_UNTOLD_ESTABLISHED = 1 << 0,    /* established_ns */
    TCPTRAIL_UNTOLD_ENDED_BY_CALL = 1 << 1,  /* ended_by */
    TCPTRAIL_UNTOLD_ENDING = 1 << 2,         /* TCPTRAIL_BIRTH_ENDING */
    TCPTRAIL_UNTOLD_SENT = 1 << 3,           /* segments_out */
    TCPTRAIL_UNTOLD_SHUTDOWN = 1 << 4,       /* shutdown */
    TCPTRAIL_UNTOLD_UNACKNOWLEDGED = 1 << 5, /* send_queue */
};

struct tcptrail_untold_key {
    __u64 path;           /* the states of the timeline, four bits each, the first one lowest */
    __s32 error;          /* sk_err */
    __s32 reported_error; /* of attempts that were not established */
    __u32 flags;          /* enum tcptrail_record_flag: END_MISSED, NO_SYN, ORPHAN, FIN_RECEIVED */
    __u8 role;            /* enum tcptrail_role */
    __u8 state;           /* the last one before the end */
    __u8 reset_direction; /* enum tcptrail_reset_direction, of a reset in the last state */
    __u8 facts;           /* enum tcptrail_untold_fact */
};

struct tcptrail_untold {
    __u64 lifecycles;
    __u64 bytes_sent;     /* as in tcptrail_socket */
    __u64 bytes_received; /* as in tcptrail_socket */
};

TCPTRAIL_ASSERT_SIZE(tcptrail_untold_key, 24);
TCPTRAIL_ASSERT_SIZE(tcptrail_untold, 24);

#endif
