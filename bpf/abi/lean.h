/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The short form of a record, which most connections' ends have: the ring holds twice as many, and there is
 * half to copy. What does not fit is told in a tcptrail_record:
 *
 *   addresses that are not IPv4's, a bound interface, a thread whose name is not its process's
 *   anything in tcptrail_details, or in tcptrail_trouble but for the time in which it was busy; a name of
 * congestion control of more than 8 characters counts above the range of their members; times too far from
 * the beginning or from the end
 *
 * Times between the beginning and the end are in steps of 256 ns: of 18 minutes at most.
 */
#ifndef TCPTRAIL_ABI_LEAN_H
#define TCPTRAIL_ABI_LEAN_H

#include "bpf/abi/record.h"

#define TCPTRAIL_LEAN_STEP_SHIFT 8
#define TCPTRAIL_LEAN_CONGESTION_LEN 8
#define TCPTRAIL_LEAN_SSTHRESH_INFINITE 0xffff

/* Members that are not explained have the names and units of those of tcptrail_record. */
struct tcptrail_lean {
    __u16 version;
    __u16 size;
    __u32 flags;
    __u64 ended_ns;
    __u64 cookie;
    __u64 opened_ns;
    __u64 cgroup_id;
    __u64 start_ns;
    __u32 pid;
    __u32 uid;
    char name[TCPTRAIL_NAME_LEN];
    __u8 local[4];
    __u8 remote[4];
    __u16 local_port;
    __u16 remote_port;
    __u32 netns;
    /* Steps of the timeline: until ESTABLISHED since the beginning, later ones before the end. */
    __u32 timeline_steps[TCPTRAIL_TIMELINE_LEN];
    __u32 accepted_steps; /* since the beginning; 0: accept() has not returned it */
    __u32 reset_steps;    /* before the end */
    __u32 synack_rtt_us;
    __u32 bytes_sent;
    __u32 bytes_acked;
    __u32 bytes_received;
    __u32 rate_interval_us;
    __u32 srtt_us;
    __u32 mdev_us;
    __u32 rtt_min_us;
    __u32 receive_rtt_us;
    __u32 quiet_jiffies;
    __u32 keepalive_idle_jiffies;
    __u32 busy_jiffies; /* chrono_jiffies[0]: a round trip to another host is longer than a jiffy */
    __u16 segments_out;
    __u16 segments_in;
    __u16 data_segments_out;
    __u16 data_segments_in;
    __u16 rate_delivered;
    __u16 receive_queue;
    __u16 cwnd;
    __u16 ssthresh; /* or TCPTRAIL_LEAN_SSTHRESH_INFINITE */
    __u16 mss;
    __u16 timeline_states; /* four bits each, the first in the lowest */
    __u16 birth_flags;
    __u16 error;
    __u16 reported_error;
    __u16 reset_reason;
    __u8 syn_retransmits;
    __u8 owner_source;
    __u8 role;
    __u8 state;
    __u8 timeline_len;
    __u8 reset_direction;
    __u8 reset_state;
    __u8 shutdown;
    char congestion[TCPTRAIL_LEAN_CONGESTION_LEN];
    __u8 pad[4];
};

TCPTRAIL_ASSERT_SIZE(tcptrail_lean, 208);

#endif
