/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Refused calls of bind() on TCP sockets: key and value of the map `bind_failures`. */
#ifndef TCPTRAIL_ABI_BIND_H
#define TCPTRAIL_ABI_BIND_H

#include "bpf/abi/record.h"

struct tcptrail_bind_key {
    __u8 address[16]; /* network byte order; an IPv4 address is in the first four bytes */
    __u32 pid;        /* thread group, initial pid namespace */
    __u32 netns;      /* inode */
    __s32 error;      /* errno */
    __u16 port;       /* host byte order */
    __u16 family;     /* AF_INET, AF_INET6 */
};

struct tcptrail_bind_failure {
    __u64 count;
    __u64 last_ns; /* CLOCK_BOOTTIME */
    char name[TCPTRAIL_NAME_LEN];
};

TCPTRAIL_ASSERT_SIZE(tcptrail_bind_key, 32);
TCPTRAIL_ASSERT_SIZE(tcptrail_bind_failure, 32);

#endif
