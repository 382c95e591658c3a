/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the agents of one host, one after the other, and their programs share: the map .data.control. It
 * outlives an agent whose state is pinned, and is taken over by agents of other versions: members are only
 * ever added, at the end of the part that is used.
 */
#ifndef TCPTRAIL_ABI_CONTROL_H
#define TCPTRAIL_ABI_CONTROL_H

#include "bpf/abi/record.h"

#define TCPTRAIL_RUN_ID_LEN 40
#define TCPTRAIL_NOTE_LEN 256

struct tcptrail_control {
    __u32 generation; /* the programs that were loaded with it trace, all others return at once; 0: none */
    __u32 last_generation;  /* the last one that an agent switched on */
    __u64 heartbeat_ns;     /* CLOCK_MONOTONIC: when the agent was last heard of */
    __u64 abandon_after_ns; /* the first event that comes so long after it switches all programs off */
    __u32 agent_pid;        /* as the agent itself knows it; 0: none ever ran */
    /*
     * How far the agent had come when it last released records from the ring: its own words, in `note`, the
     * index of one of two, so that one is whole whenever the agent is killed.
     */
    __u32 note;
    __u8 notes[2][TCPTRAIL_NOTE_LEN];
    char run_id[TCPTRAIL_RUN_ID_LEN]; /* a UUID */
    /*
     * Places in the map `overflow`, which is its key: they only grow. Taken by the programs; of these
     * finished: filled, or left empty for good; given up by the agent.
     */
    __u64 overflow_taken;
    __u64 overflow_finished;
    __u64 overflow_released;
    __u8 reserved[928 - 2 * TCPTRAIL_NOTE_LEN];
};

/* The value of the map `layout`; the user side tells what is in it. */
struct tcptrail_layout {
    char text[16384];
};

TCPTRAIL_ASSERT_SIZE(tcptrail_control, 1024);

#endif
