/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Layer 2, for lib/emit: records beyond the ring. A place is taken, filled where it lies, and finished; one
 * that could not be filled is finished, too. The agent reads when all that were taken are finished.
 */
#ifndef TCPTRAIL_LIB_OVERFLOW_BPF_H
#define TCPTRAIL_LIB_OVERFLOW_BPF_H

#include "bpf/lib/store.bpf.h"

/* Not on the stack, which is short. */
const struct tcptrail_record overflow_no_record = {};

/* Places that are in use. Less than none: the agent gave some up between the two looks. */
static __always_inline __s64 overflow_used(void) {
    return (__s64)(*(volatile __u64*)&control.overflow_taken - *(volatile __u64*)&control.overflow_released);
}

/*
 * The ring is read first. What was told of a connection before, and may be beyond the ring still, must be
 * read before what is told now: that goes there, too.
 */
static __always_inline bool overflow_comes_first(const struct tcptrail_birth* birth) {
    return birth->flags & TCPTRAIL_BIRTH_TOLD_BEYOND && overflow_used() > 0;
}

/* The agent finds all that was written before. Without a use of its result the addition is no barrier. */
static __always_inline void overflow_finish(void) {
    __u64 before = __sync_fetch_and_add(&control.overflow_finished, 1);

    barrier_var(before);
}

/* An empty record, to be filled and then finished. NULL: there is no room. */
static __always_inline struct tcptrail_record* overflow_take(void) {
    struct tcptrail_record* record = NULL;
    __u64 place;

    if (overflow_used() >= (__s64)config.overflow_records) return NULL;
    place = __sync_fetch_and_add(&control.overflow_taken, 1);
    if (!bpf_map_update_elem(&overflow, &place, &overflow_no_record, BPF_NOEXIST))
        record = bpf_map_lookup_elem(&overflow, &place);
    if (!record) overflow_finish();
    return record;
}

#endif
