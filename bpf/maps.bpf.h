/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every map: who inserts, who deletes, who reads, what happens when it is full. */
#ifndef TCPTRAIL_MAPS_BPF_H
#define TCPTRAIL_MAPS_BPF_H

#include <bpf/bpf_helpers.h>

#include "bpf/abi/bind.h"
#include "bpf/abi/config.h"
#include "bpf/abi/control.h"
#include "bpf/abi/counters.h"
#include "bpf/abi/lean.h"
#include "bpf/abi/listener.h"
#include "bpf/abi/record.h"
#include "bpf/abi/untold.h"
#include "bpf/abi/walk.h"
#include "bpf/kernel.bpf.h"

/*
 * Births of the connections that are open now, each in the one place that the address of its struct sock
 * says, or where that is taken in `connections`. Inserted: hooks/state. Deleted, and read: as `connections`,
 * by lib/store. Size: a power of two, set before load, a 64th of capture.max_connections. The user side
 * looks into it for what the sweep and the walks go over.
 */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 8192);
    __type(key, __u32);
    __type(value, struct tcptrail_slot);
} slots SEC(".maps");

/*
 * Births of the connections that are open now, by the address of their struct sock: those that have no slot.
 * Inserted: hooks/state (SYN_SENT, SYN_RECV of a child), hooks/scan (open before the capture).
 * Deleted: lib/emit at the end; hooks/sweep when the socket is gone though no end was seen.
 * Read: all hooks. Full: the connection is told all the same, as BIRTH_MISSED, and counted.
 * Size: set before load from capture.max_connections.
 */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 524288);
    __type(key, __u64);
    __type(value, struct tcptrail_birth);
} connections SEC(".maps");

/*
 * What few connections have: the first retransmit, or an end by another process than the owner, makes one.
 * Inserted: lib/store, for hooks/retransmit and hooks/state. Deleted: with the birth. Read: lib/emit,
 * hooks/walk. Full: DETAILS_LOST, and what is in it is absent. Size: set before load, an eighth of
 * capture.max_connections: its buckets are paid at once.
 */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 65536);
    __type(key, __u64);
    __type(value, struct tcptrail_details);
} details SEC(".maps");

/*
 * Who called listen(), by the address of the listening struct sock.
 * Inserted: hooks/state (LISTEN), hooks/scan. Deleted: hooks/state (CLOSE),
 * hooks/walk when the socket is gone. Read: hooks/state at the birth of a child, hooks/walk. Full: its
 * connections have no owner; counted.
 */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    /* The version is in the size, which tells another process whether the layout of our maps is the one it
     * knows. */
    __uint(max_entries, 65000 + TCPTRAIL_RECORD_VERSION);
    __type(key, __u64);
    __type(value, struct tcptrail_listener);
} listeners SEC(".maps");

struct failed_attempt {
    __u64 cookie; /* of the socket */
    __u32 error;  /* sk_err; 0: connect() failed by itself, after the change to SYN_SENT */
    __u32 pad;
};

/*
 * Attempts to connect that failed after the change to SYN_SENT, by the address of the struct sock. They have
 * been told; connect() is yet to return their error, or a later connect() is. Inserted: hooks/state. Deleted:
 * hooks/call. Full: the oldest go, which at worst is told twice.
 */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, __u64);
    __type(value, struct failed_attempt);
} failed_attempts SEC(".maps");

/*
 * Refused calls of bind(), by process, address and errno.
 * Inserted: hooks/call. Deleted: never. Read: the user side, for its reports. Full: further kinds of refusals
 * are only counted.
 */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1024);
    __type(key, struct tcptrail_bind_key);
    __type(value, struct tcptrail_bind_failure);
} bind_failures SEC(".maps");

/* struct sockaddr_in, as far as it is used, and sockaddr_in6. */
union socket_address {
    __u16 family;
    struct {
        __u16 family;
        __be16 port;
        __be32 address;
    } v4;
    struct {
        __u16 family;
        __be16 port;
        __be32 flow;
        __u8 address[16];
        __u32 scope;
    } v6;
};

/* A port that somebody listened on when the capture began. */
struct listen_port {
    __u32 netns;
    __u32 port;
};

/*
 * Tells apart clients and servers among the connections that the scan finds open.
 * Inserted: hooks/scan, first pass. Read: hooks/scan, second pass. Deleted: never; of no use later.
 * Full: such a connection is told without a role.
 */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 16384);
    __type(key, struct listen_port);
    __type(value, __u8);
} listen_ports SEC(".maps");

/*
 * Records on their way to the agent. Written by lib/emit alone; read by the capture thread.
 * Full: the record goes to `overflow`. Size: set before load.
 */
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 8 << 20);
} ring SEC(".maps");

/*
 * Records for which the ring had no room, by their place: see abi/control.h. A ring is paid at once, this
 * only when it is used. version 0: a record that was given up. Inserted: lib/overflow. Read and deleted: the
 * capture thread. Full: the record is lost and counted as LOST_RING_FULL. Size: set before load from
 * capture.overflow_records.
 */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 131072);
    __type(key, __u64);
    __type(value, struct tcptrail_record);
} overflow SEC(".maps");

/*
 * Totals of the lifecycles for which the ring had no room, by what they are classified by. Inserted:
 * lib/untold. Deleted: never. Read: the user side, for its reports. Full: such a lifecycle is only counted as
 * LOST_RING_FULL.
 */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 2048);
    __type(key, struct tcptrail_untold_key);
    __type(value, struct tcptrail_untold);
} untold SEC(".maps");

/*
 * Counts of enum tcptrail_counter. Written by all hooks on their own CPU; read by the capture thread. Larger
 * than what is counted, so that programs of a later version go on with it.
 */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, TCPTRAIL_MAX_COUNTERS);
    __type(key, __u32);
    __type(value, __u64);
} counters SEC(".maps");

/*
 * Where hooks/walk puts a copy of a socket, and the record that it makes of it. One walk runs at a time: all
 * are the capture thread's.
 */
struct walk_scratch {
    __u8 socket[TCPTRAIL_WALK_SOCKET_BYTES];
    struct tcptrail_record record;
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct walk_scratch);
} walk_scratch SEC(".maps");

/* Never used: bring the types of abi/ into the object's BTF, where a check compares them with the headers. */
const struct tcptrail_record* record_type __attribute__((unused));
const struct tcptrail_lean* lean_type __attribute__((unused));
const struct tcptrail_listener_record* listener_record_type __attribute__((unused));
const struct tcptrail_open* open_type __attribute__((unused));
const struct tcptrail_task_netns* task_netns_type __attribute__((unused));

/*
 * The layout of the structures of abi/ as these programs know them: text, written by the user side after
 * load. Who takes over maps and a ring of another version reads it there.
 */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct tcptrail_layout);
} layout SEC(".maps");

/* Shared with the agents before and after this one: see abi/control.h. No place is 0: who writes over the map
 * with zeros is found out. */
struct tcptrail_control control SEC(".data.control") = {
    .overflow_taken = 1,
    .overflow_finished = 1,
    .overflow_released = 1,
};

/* Settings: written by the user side before load. */
const volatile struct tcptrail_config config = {.wake_shift = 21};

/*
 * The agent's own thread group in the initial pid namespace: written by hooks/scan, which it runs. Before
 * that nobody's, nor 0, which is an owner that is not known.
 */
__u32 self_tgid = ~0u;

/* hooks/scan: 1 listeners, 2 connections; set by the user side before each pass. */
__u32 scan_pass = 0;

/* hooks/sweep: whether it also writes what is open; set by the user side before each sweep. */
__u32 sweep_writes_open = 0;

/*
 * hooks/walk: only connections of which nothing was told for so long, each once per so long; 0: all. Set by
 * the user side before each walk.
 */
__u64 walk_untold_ns = 0;

/* lib/clock: when it was looked at last, and how long the host has slept since it was started. */
struct {
    __u64 jiffies;
    __u64 suspended_ns;
} ticks = {};

/* hooks/sweep and hooks/walk, one element at a time: see abi/walk.h. */
struct tcptrail_by_key by_key = {};

#endif
