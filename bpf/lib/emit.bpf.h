/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Layer 2: the only caller of the ring. One record per connection, at its end; taking the birth
 * out of the map decides who tells it, so that two witnesses never tell it twice.
 */
#ifndef TCPTRAIL_LIB_EMIT_BPF_H
#define TCPTRAIL_LIB_EMIT_BPF_H

#include "bpf/lib/owner.bpf.h"
#include "bpf/lib/store.bpf.h"
#include "bpf/lib/untold.bpf.h"

/*
 * No wake-up per record: it would double the cost of a connection. The reader drains on a timer;
 * it is woken early only when the fill passes a multiple of 1 << wake_shift bytes. The fill is read
 * before our own record counts; two CPUs that pass the mark at once may both miss it, which the
 * timer and the next mark make good.
 */
static __always_inline __u64 emit_wakeup(void) {
    __u64 fill = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
    __u64 before = fill - sizeof(struct tcptrail_record) - BPF_RINGBUF_HDR_SZ;

    return fill >> config.wake_shift != before >> config.wake_shift ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline struct tcptrail_record* emit_reserve(void) {
    struct tcptrail_record* record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

    if (record) {
        record->version = TCPTRAIL_RECORD_VERSION;
        record->size = sizeof(*record);
    }
    return record;
}

static __always_inline void emit_submit(struct tcptrail_record* record) {
    count(TCPTRAIL_SUBMITTED);
    bpf_ringbuf_submit(record, emit_wakeup());
}

static __always_inline void emit_lost(const struct tcptrail_untold_key* facts,
                                      const struct tcptrail_untold* sums) {
    count(TCPTRAIL_LOST_RING_FULL);
    untold_add(facts, sums);
}

/*
 * An event in which the generation changes is seen by the programs of both: one after the other, on the same
 * CPU. Who tells an end says so, in a place that both have, and the second one finds no birth and this note.
 */
static __always_inline void emit_note_end(__u64 cookie) {
    __u32 place = TCPTRAIL_LAST_END;
    __u64* last = bpf_map_lookup_elem(&counters, &place);

    if (last) *last = cookie << 16 | (config.generation & 0xffff);
}

static __always_inline bool emit_is_told(__u64 cookie) {
    __u32 place = TCPTRAIL_LAST_END;
    __u64* last = bpf_map_lookup_elem(&counters, &place);

    return last && (*last & 0xffff) != (config.generation & 0xffff) && *last >> 16 == cookie << 16 >> 16;
}

/*
 * The end of a connection whose birth is in the map. The record is filled before the birth is
 * deleted: the map reuses the memory at once.
 */
static __always_inline void emit_end(const struct sock* sk, const struct tcp_sock* tp,
                                     struct tcptrail_birth* birth, __u32 flags, __u64 now) {
    __u64 key = (__u64)sk;

    emit_note_end(birth->cookie);
    if (birth->flags & TCPTRAIL_BIRTH_IGNORED) {
        if (!bpf_map_delete_elem(&connections, &key)) count(TCPTRAIL_IGNORED);
        return;
    }
    struct tcptrail_record* record = emit_reserve();
    if (!record) {
        struct tcptrail_untold_key facts = {.flags = read_socket_flags(sk, tp) & UNTOLD_FLAGS};
        struct tcptrail_untold sums = {};

        untold_from_birth(&facts, birth);
        untold_from_socket(&facts, &sums, sk, tp);
        if (!bpf_map_delete_elem(&connections, &key)) emit_lost(&facts, &sums);
        return;
    }
    record->flags = flags | read_socket_flags(sk, tp);
    record->ended_ns = now;
    __builtin_memcpy(&record->birth, birth, sizeof(*birth));
    read_addresses(&record->birth.addresses, sk, tp);
    read_socket(&record->socket, sk, tp);
    if (compat_rto_count(tp, &record->socket.rto_count)) record->flags |= TCPTRAIL_RECORD_HAS_RTO_COUNT;
    if (!bpf_map_delete_elem(&connections, &key))
        emit_submit(record);
    else
        bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
}

/* A connection that was just established. */
static __always_inline void emit_opened(const struct sock* sk, const struct tcp_sock* tp,
                                        struct tcptrail_birth* birth, __u64 now) {
    struct tcptrail_record* record;

    if (birth->flags & TCPTRAIL_BIRTH_IGNORED) return;
    record = emit_reserve();
    if (!record) {
        count(TCPTRAIL_OPENED_LOST_RING_FULL);
        return;
    }
    record->flags = TCPTRAIL_RECORD_OPENED | read_socket_flags(sk, tp);
    record->ended_ns = now;
    __builtin_memcpy(&record->birth, birth, sizeof(*birth));
    birth->told_ns = now;
    read_socket(&record->socket, sk, tp);
    if (compat_rto_count(tp, &record->socket.rto_count)) record->flags |= TCPTRAIL_RECORD_HAS_RTO_COUNT;
    count(TCPTRAIL_OPENED_SUBMITTED);
    bpf_ringbuf_submit(record, emit_wakeup());
}

/* The end of a connection of which no birth is known. */
static __always_inline void emit_end_without_birth(struct sock* sk, const struct tcp_sock* tp,
                                                   __u8 last_state, __u64 now) {
    struct tcptrail_record* record;

    if (emit_is_told(bpf_get_socket_cookie(sk))) return;
    count(TCPTRAIL_ENDS_WITHOUT_BIRTH);
    record = emit_reserve();
    if (!record) {
        struct tcptrail_untold_key facts = {.state = last_state,
                                            .flags = read_socket_flags(sk, tp) & UNTOLD_FLAGS};
        struct tcptrail_untold sums = {};

        untold_from_socket(&facts, &sums, sk, tp);
        emit_lost(&facts, &sums);
        return;
    }
    __builtin_memset(&record->birth, 0, sizeof(record->birth));
    record->birth.flags = TCPTRAIL_BIRTH_MISSED;
    record->birth.cookie = bpf_get_socket_cookie(sk);
    record->birth.state = last_state;
    record->birth.owner.cgroup_id = compat_cgroup_id(sk);
    record->flags = read_socket_flags(sk, tp);
    record->ended_ns = now;
    read_addresses(&record->birth.addresses, sk, tp);
    read_socket(&record->socket, sk, tp);
    if (compat_rto_count(tp, &record->socket.rto_count)) record->flags |= TCPTRAIL_RECORD_HAS_RTO_COUNT;
    emit_submit(record);
}

/* An attempt that ended within connect(), before a SYN was sent; it never was in the map. */
static __always_inline void emit_attempt(const struct tcptrail_birth* birth, __u64 now) {
    struct tcptrail_record* record;

    count(TCPTRAIL_ATTEMPTS_WITHOUT_SYN);
    record = emit_reserve(); /* compared with NULL once: see emit_end_missed */
    if (!record) {
        struct tcptrail_untold_key facts = {.flags = TCPTRAIL_RECORD_NO_SYN};
        struct tcptrail_untold sums = {};

        untold_from_birth(&facts, birth);
        emit_lost(&facts, &sums);
        return;
    }
    record->flags = TCPTRAIL_RECORD_NO_SYN;
    record->ended_ns = now;
    __builtin_memcpy(&record->birth, birth, sizeof(*birth));
    __builtin_memset(&record->socket, 0, sizeof(record->socket));
    emit_submit(record);
}

/*
 * A birth, of this cookie, whose socket is gone without an end that anybody saw. Tells what is known of it.
 * `record` is compared with NULL once only: the verifier of Linux 6.1 takes a second comparison for open and
 * finds a record that is never released.
 */
static __always_inline void emit_end_missed(__u64 key, const struct tcptrail_birth* birth, __u64 cookie,
                                            __u64 now) {
    struct tcptrail_record* record;

    if (birth->flags & (TCPTRAIL_BIRTH_IGNORED | TCPTRAIL_BIRTH_TAKEN_OVER)) {
        bool ignored = birth->flags & TCPTRAIL_BIRTH_IGNORED;

        if (!bpf_map_delete_elem(&connections, &key))
            count(ignored ? TCPTRAIL_IGNORED : TCPTRAIL_BIRTHS_DROPPED);
        return;
    }
    record = emit_reserve();
    if (!record) {
        struct tcptrail_untold_key facts = {.flags = TCPTRAIL_RECORD_END_MISSED};
        struct tcptrail_untold sums = {};

        untold_from_birth(&facts, birth);
        if (!bpf_map_delete_elem(&connections, &key)) {
            count(TCPTRAIL_ENDS_MISSED);
            emit_lost(&facts, &sums);
        }
        return;
    }
    record->flags = TCPTRAIL_RECORD_END_MISSED;
    record->ended_ns = now;
    __builtin_memcpy(&record->birth, birth, sizeof(*birth));
    __builtin_memset(&record->socket, 0, sizeof(record->socket));
    /* What was copied may be of the next one in its place. */
    if (record->birth.cookie != cookie || bpf_map_delete_elem(&connections, &key)) {
        bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
        return;
    }
    count(TCPTRAIL_ENDS_MISSED);
    emit_submit(record);
}

#endif
