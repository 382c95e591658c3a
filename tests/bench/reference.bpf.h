/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What `emit` of reference.bpf.c tells, and reference.cc counts. */
#ifndef TCPTRAIL_TESTS_BENCH_REFERENCE_BPF_H
#define TCPTRAIL_TESTS_BENCH_REFERENCE_BPF_H

#include "bpf/abi/lean.h"

/* As long as the usual record of tcptrail; what follows these fields is left as it was in the ring. */
struct reference_record {
    __u64 ended_ns;
    __u64 bytes_sent;
    __u64 bytes_received;
    __u32 netns; /* inode */
    __u32 remote;
    __u16 local_port;
    __u16 remote_port;
    __u16 family;
    __u16 old_state;
    __u8 rest[sizeof(struct tcptrail_lean) - 40];
};
TCPTRAIL_ASSERT_SIZE(reference_record, sizeof(struct tcptrail_lean));

#endif
