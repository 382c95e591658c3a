/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Layer 2: the only caller of the ring and the overflow. One record per connection, at its end; taking the
 * birth out of the map decides who tells it, so that two witnesses never tell it twice.
 */
#ifndef TCPTRAIL_LIB_EMIT_BPF_H
#define TCPTRAIL_LIB_EMIT_BPF_H

#include "bpf/lib/lean.bpf.h"
#include "bpf/lib/overflow.bpf.h"
#include "bpf/lib/owner.bpf.h"
#include "bpf/lib/store.bpf.h"
#include "bpf/lib/untold.bpf.h"

/*
 * No wake-up per record: it would double the cost of a connection. The reader drains on a timer;
 * it is woken early only when the fill passes a multiple of 1 << wake_shift bytes. The fill is read
 * before our own record counts; two CPUs that pass the mark at once may both miss it, which the
 * timer and the next mark make good.
 */
static __always_inline __u64 emit_wakeup(__u32 size) {
    __u64 fill = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
    __u64 before = fill - size - BPF_RINGBUF_HDR_SZ;

    return fill >> config.wake_shift != before >> config.wake_shift ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

/* Of a record whose birth is filled already. */
static __always_inline void emit_fill_details(struct tcptrail_record* record, __u64 key) {
    const struct tcptrail_details* from =
        record->birth.flags & TCPTRAIL_BIRTH_HAS_DETAILS ? bpf_map_lookup_elem(&details, &key) : NULL;

    if (from) {
        record->details = *from;
        return;
    }
    __builtin_memset(&record->details, 0, sizeof(record->details));
    if (record->birth.flags & TCPTRAIL_BIRTH_HAS_DETAILS) record->birth.flags |= TCPTRAIL_BIRTH_DETAILS_LOST;
}

static __always_inline void emit_fill(struct tcptrail_record* record, const struct sock* sk,
                                      const struct tcp_sock* tp, const struct tcptrail_birth* birth,
                                      __u32 flags, __u64 now) {
    record->version = TCPTRAIL_RECORD_VERSION;
    record->size = sizeof(*record);
    record->flags = flags;
    record->ended_ns = now;
    read_socket(&record->socket, sk, tp);
    __builtin_memcpy(&record->birth, birth, sizeof(*birth));
    emit_fill_details(record, (__u64)sk);
    read_trouble(&record->trouble, tp);
}

static __always_inline void emit_lost(const struct tcptrail_untold_key* facts,
                                      const struct tcptrail_untold* sums) {
    count(TCPTRAIL_LOST_RING_FULL);
    untold_add(facts, sums);
}

/*
 * An event in which the generation changes is seen by the programs of both: one after the other, on the same
 * CPU. Who tells an end says so, in a place that both have, and the second one finds no birth and this note:
 * the cookie, and in the lowest 16 bits the generation.
 */
static __always_inline __u64* emit_note(void) {
    __u32 place = TCPTRAIL_LAST_END;

    return bpf_map_lookup_elem(&counters, &place);
}

static __always_inline void emit_note_end(__u64 cookie) {
    __u64* last = emit_note();

    if (last) *last = cookie << 16 | (config.generation & 0xffff);
}

/* Nearly always: the socket is destroyed in the same call in which it has changed to CLOSE. */
static __always_inline bool emit_is_noted(__u64 cookie) {
    __u64* last = emit_note();

    return last && cookie && *last >> 16 == cookie << 16 >> 16;
}

/* The same socket connects once more. */
static __always_inline void emit_forget_end(__u64 cookie) {
    if (emit_is_noted(cookie)) emit_note_end(0);
}

/* By another generation. */
static __always_inline bool emit_is_told(__u64 cookie) {
    __u64* last = emit_note();

    return emit_is_noted(cookie) && last && (*last & 0xffff) != (config.generation & 0xffff);
}

/* Not a flag of a record: the birth is in the map, and is told only by who takes it out. */
#define EMIT_TAKE (1u << 31)

enum emit_result {
    EMIT_DONE,        /* also: somebody else has told it */
    EMIT_DONE_BEYOND, /* the same, beyond the ring */
    EMIT_NO_ROOM,
    EMIT_TOO_LONG, /* for the short form */
};

/* The record is filled before the birth is deleted: the map reuses the memory at once. */
static __always_inline bool emit_is_mine(__u64 key, const struct tcptrail_birth* birth, __u32 flags) {
    if (flags & EMIT_TAKE && !store_remove(key, birth)) return false;
    count(flags & TCPTRAIL_RECORD_OPENED ? TCPTRAIL_OPENED_SUBMITTED : TCPTRAIL_SUBMITTED);
    if (flags & TCPTRAIL_RECORD_END_MISSED) count(TCPTRAIL_ENDS_MISSED);
    return true;
}

static __always_inline void emit_to_ring(void* record, __u32 size, bool mine) {
    if (mine)
        bpf_ringbuf_submit(record, emit_wakeup(size));
    else
        bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
}

static __always_inline void emit_to_overflow(struct tcptrail_record* record, bool mine) {
    if (!mine) record->version = 0;
    overflow_finish();
}

/*
 * These are called and not inlined, and each has a stack of its own: Linux 6.1 has 512 bytes for all of them.
 */
static __noinline int emit_lean(const struct sock* sk, const struct tcp_sock* tp,
                                const struct tcptrail_birth* birth, __u32 flags, __u64 now) {
    struct tcptrail_lean* lean;

    if (!lean_is_likely(birth, tp)) return EMIT_TOO_LONG;
    lean = bpf_ringbuf_reserve(&ring, sizeof(*lean), 0);
    if (!lean) return EMIT_NO_ROOM;
    if (!lean_fill(lean, sk, tp, birth, flags & ~EMIT_TAKE, now)) {
        bpf_ringbuf_discard(lean, BPF_RB_NO_WAKEUP);
        return EMIT_TOO_LONG;
    }
    emit_to_ring(lean, sizeof(*lean), emit_is_mine((__u64)sk, birth, flags));
    return EMIT_DONE;
}

static __noinline int emit_long(const struct sock* sk, const struct tcp_sock* tp,
                                const struct tcptrail_birth* birth, __u32 flags, __u64 now) {
    struct tcptrail_record* record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

    if (!record) return EMIT_NO_ROOM;
    emit_fill(record, sk, tp, birth, flags & ~EMIT_TAKE, now);
    emit_to_ring(record, sizeof(*record), emit_is_mine((__u64)sk, birth, flags));
    return EMIT_DONE;
}

static __noinline int emit_over(const struct sock* sk, const struct tcp_sock* tp,
                                const struct tcptrail_birth* birth, __u32 flags, __u64 now) {
    struct tcptrail_record* record = overflow_take();

    if (!record) return EMIT_NO_ROOM;
    emit_fill(record, sk, tp, birth, flags & ~EMIT_TAKE, now);
    emit_to_overflow(record, emit_is_mine((__u64)sk, birth, flags));
    return EMIT_DONE_BEYOND;
}

/* To the ring, in as few bytes as that takes. */
static __always_inline int emit_in_ring(const struct sock* sk, const struct tcp_sock* tp,
                                        const struct tcptrail_birth* birth, __u32 flags, __u64 now) {
    int result = emit_lean(sk, tp, birth, flags, now);

    return result == EMIT_TOO_LONG ? emit_long(sk, tp, birth, flags, now) : result;
}

/* Tells of a socket. Rather out of order than not at all. */
static __always_inline int emit_socket(const struct sock* sk, const struct tcp_sock* tp,
                                       const struct tcptrail_birth* birth, __u32 flags, __u64 now) {
    bool beyond = overflow_comes_first(birth);
    int result = EMIT_NO_ROOM;

    flags |= read_socket_flags(sk, tp);
    /* Without a branch, as there: told_ns is 0, or one of the two has the highest bit. */
    flags |= read_bit(birth->told_ns | -birth->told_ns, 63, TCPTRAIL_RECORD_TOLD_BEFORE);
    if (!beyond) result = emit_in_ring(sk, tp, birth, flags, now);
    if (result == EMIT_NO_ROOM) result = emit_over(sk, tp, birth, flags, now);
    return result == EMIT_NO_ROOM && beyond ? emit_long(sk, tp, birth, flags, now) : result;
}

/* A birth without a socket that could be read. The rest of the record is empty. */
static __always_inline void emit_fill_birth(struct tcptrail_record* record, __u64 key,
                                            const struct tcptrail_birth* birth, __u32 flags, __u64 now) {
    record->version = TCPTRAIL_RECORD_VERSION;
    record->size = sizeof(*record);
    record->flags = birth->told_ns ? flags | TCPTRAIL_RECORD_TOLD_BEFORE : flags;
    record->ended_ns = now;
    __builtin_memset(&record->socket, 0, sizeof(record->socket));
    __builtin_memcpy(&record->birth, birth, sizeof(*birth));
    emit_fill_details(record, key);
    __builtin_memset(&record->trouble, 0, sizeof(record->trouble));
}

/* The end of a connection whose birth is in the map. */
static __always_inline void emit_end(const struct sock* sk, const struct tcp_sock* tp,
                                     struct tcptrail_birth* birth, __u32 flags, __u64 now) {
    __u64 key = (__u64)sk;

    emit_note_end(birth->cookie);
    if (birth->flags & TCPTRAIL_BIRTH_IGNORED) {
        if (store_remove(key, birth)) count(TCPTRAIL_IGNORED);
        return;
    }
    /* What the change to ESTABLISHED has read stays: nothing can change it. */
    if (!(birth->flags & TCPTRAIL_BIRTH_ESTABLISHED)) read_addresses(birth, sk, tp);
    if (emit_socket(sk, tp, birth, flags | EMIT_TAKE, now) == EMIT_NO_ROOM) {
        struct tcptrail_untold_key facts = {.flags = read_socket_flags(sk, tp) & UNTOLD_FLAGS};
        struct tcptrail_untold sums = {};

        untold_from_birth(&facts, birth);
        untold_from_socket(&facts, &sums, sk, tp);
        if (store_remove(key, birth)) emit_lost(&facts, &sums);
    }
}

/* A connection that was just established. */
static __always_inline void emit_opened(const struct sock* sk, const struct tcp_sock* tp,
                                        struct tcptrail_birth* birth, __u64 now) {
    int result;

    if (birth->flags & TCPTRAIL_BIRTH_IGNORED) return;
    result = emit_socket(sk, tp, birth, TCPTRAIL_RECORD_OPENED, now);
    if (result == EMIT_NO_ROOM) {
        count(TCPTRAIL_OPENED_LOST_RING_FULL);
        return;
    }
    birth->told_ns = now;
    if (result == EMIT_DONE_BEYOND) birth->flags |= TCPTRAIL_BIRTH_TOLD_BEYOND;
}

/* The end of a connection of which no birth is known. */
static __always_inline void emit_end_without_birth(struct sock* sk, const struct tcp_sock* tp,
                                                   __u8 last_state, __u64 now) {
    struct tcptrail_birth birth = {};

    birth.cookie = bpf_get_socket_cookie(sk);
    if (emit_is_told(birth.cookie)) return;
    count(TCPTRAIL_ENDS_WITHOUT_BIRTH);
    birth.flags = TCPTRAIL_BIRTH_MISSED;
    birth.state = last_state;
    birth.owner.cgroup_id = compat_cgroup_id(sk);
    read_addresses(&birth, sk, tp);
    if (emit_socket(sk, tp, &birth, 0, now) == EMIT_NO_ROOM) {
        struct tcptrail_untold_key facts = {.state = last_state,
                                            .flags = read_socket_flags(sk, tp) & UNTOLD_FLAGS};
        struct tcptrail_untold sums = {};

        untold_from_socket(&facts, &sums, sk, tp);
        emit_lost(&facts, &sums);
    }
}

/*
 * A birth alone, as ring and overflow take it. What is to be taken out of the map has this cookie, also when
 * it was copied: what lies there may be the birth of the next one.
 */
static __noinline int emit_birth_to_ring(__u64 key, const struct tcptrail_birth* birth, __u32 flags,
                                         __u64 now, __u64 cookie) {
    struct tcptrail_record* record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

    if (!record) return EMIT_NO_ROOM;
    emit_fill_birth(record, key, birth, flags & ~EMIT_TAKE, now);
    emit_to_ring(record, sizeof(*record), record->birth.cookie == cookie && emit_is_mine(key, birth, flags));
    return EMIT_DONE;
}

static __noinline int emit_birth_over(__u64 key, const struct tcptrail_birth* birth, __u32 flags, __u64 now,
                                      __u64 cookie) {
    struct tcptrail_record* record = overflow_take();

    if (!record) return EMIT_NO_ROOM;
    emit_fill_birth(record, key, birth, flags & ~EMIT_TAKE, now);
    emit_to_overflow(record, record->birth.cookie == cookie && emit_is_mine(key, birth, flags));
    return EMIT_DONE_BEYOND;
}

static __always_inline int emit_birth(__u64 key, const struct tcptrail_birth* birth, __u32 flags, __u64 now,
                                      __u64 cookie) {
    bool beyond = overflow_comes_first(birth);
    int result = beyond ? EMIT_NO_ROOM : emit_birth_to_ring(key, birth, flags, now, cookie);

    if (result == EMIT_NO_ROOM) result = emit_birth_over(key, birth, flags, now, cookie);
    return result == EMIT_NO_ROOM && beyond ? emit_birth_to_ring(key, birth, flags, now, cookie) : result;
}

/* An attempt that ended within connect(), before a SYN was sent; it never was in the map. */
static __always_inline void emit_attempt(const struct tcptrail_birth* birth, __u64 now) {
    count(TCPTRAIL_ATTEMPTS_WITHOUT_SYN);
    if (emit_birth(0, birth, TCPTRAIL_RECORD_NO_SYN, now, birth->cookie) == EMIT_NO_ROOM) {
        struct tcptrail_untold_key facts = {.flags = TCPTRAIL_RECORD_NO_SYN};
        struct tcptrail_untold sums = {};

        untold_from_birth(&facts, birth);
        emit_lost(&facts, &sums);
    }
}

/* A birth, of this cookie, whose socket is gone without an end that anybody saw. Tells what is known of it.
 */
static __always_inline void emit_end_missed(__u64 key, const struct tcptrail_birth* birth, __u64 cookie,
                                            __u64 now) {
    if (birth->flags & TCPTRAIL_BIRTH_IGNORED || birth->taken_over) {
        bool ignored = birth->flags & TCPTRAIL_BIRTH_IGNORED;

        if (store_remove(key, birth)) count(ignored ? TCPTRAIL_IGNORED : TCPTRAIL_BIRTHS_DROPPED);
        return;
    }
    if (emit_birth(key, birth, TCPTRAIL_RECORD_END_MISSED | EMIT_TAKE, now, cookie) == EMIT_NO_ROOM) {
        struct tcptrail_untold_key facts = {.flags = TCPTRAIL_RECORD_END_MISSED};
        struct tcptrail_untold sums = {};

        untold_from_birth(&facts, birth);
        if (store_remove(key, birth)) {
            count(TCPTRAIL_ENDS_MISSED);
            emit_lost(&facts, &sums);
        }
    }
}

#endif
