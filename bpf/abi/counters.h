/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counts that the kernel side keeps, one set per CPU; the index into the map `counters`.
 *
 *   lifecycles seen to end = SUBMITTED + LOST_RING_FULL
 *   connections seen to be established, where that is told = OPENED_SUBMITTED + OPENED_LOST_RING_FULL
 *   births + ATTEMPTS_WITHOUT_SYN + ENDS_WITHOUT_BIRTH
 *                          = lifecycles seen to end + IGNORED + BIRTHS_DROPPED + still in the map
 * `connections`
 */
#ifndef TCPTRAIL_ABI_COUNTERS_H
#define TCPTRAIL_ABI_COUNTERS_H

enum tcptrail_counter {
    TCPTRAIL_SUBMITTED,      /* records of ends handed to the ring */
    TCPTRAIL_LOST_RING_FULL, /* records of ends for which the ring had no room */
    TCPTRAIL_IGNORED,        /* the agent's own connections */
    TCPTRAIL_BIRTHS_CLIENT,
    TCPTRAIL_BIRTHS_SERVER,
    TCPTRAIL_BIRTHS_ADOPTED,       /* found by the scan */
    TCPTRAIL_BIRTHS_NOT_STORED,    /* the map was full: told at the end as BIRTH_MISSED */
    TCPTRAIL_ENDS_WITHOUT_BIRTH,   /* told as BIRTH_MISSED */
    TCPTRAIL_ENDS_SECOND_WITNESS,  /* told by tcp_destroy_sock */
    TCPTRAIL_ENDS_MISSED,          /* told as END_MISSED */
    TCPTRAIL_LISTENERS_NOT_STORED, /* the map was full: their connections have no owner */
    TCPTRAIL_SYNACK_RETRANSMITS,
    TCPTRAIL_ATTEMPTS_WITHOUT_SYN,     /* records of attempts that have no birth */
    TCPTRAIL_BIND_FAILURES,            /* refused calls of bind() */
    TCPTRAIL_BIND_FAILURES_NOT_STORED, /* of these: the map was full, they are told in this number alone */
    TCPTRAIL_OPENED_SUBMITTED,         /* records of connections that were just established */
    TCPTRAIL_OPENED_LOST_RING_FULL,
    TCPTRAIL_BIRTHS_DROPPED, /* taken over, and ended before: told then */
    TCPTRAIL_COUNTERS        /* new ones come before this; none is removed: the map outlives its programs */
};

#define TCPTRAIL_MAX_COUNTERS 64
/* The last place is no count: see emit_note_end(). */
#define TCPTRAIL_LAST_END (TCPTRAIL_MAX_COUNTERS - 1)

#endif
