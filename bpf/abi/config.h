/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Settings that the user side writes into the object's rodata before it is loaded. */
#ifndef TCPTRAIL_ABI_CONFIG_H
#define TCPTRAIL_ABI_CONFIG_H

#include <linux/types.h>

struct tcptrail_config {
    __u32 wake_shift;   /* the reader is woken each time the ring's fill passes a multiple of 1 << wake_shift
                           bytes */
    __u32 include_self; /* also tell the agent's own connections */
    __u32 tell_opened;  /* also tell of a connection when it is established */
    __u32 generation;   /* of these programs: see abi/control.h */
    __u32 slot_shift;   /* the map `slots` has 1 << (32 - slot_shift) of them */
    __u32 overflow_records; /* the size of the map `overflow`; 0: what the ring has no room for is lost */
};

#endif
