/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel side tells the user side: one record per connection end, through the ring. Of a connection
 * that is open the same record comes from an iterator that walks the sockets, or, at its beginning, through
 * the ring.
 *
 * Compiles as C and as C++. Every hole is a named pad and every pad is written as zero: a test
 * compares the layout with the object's BTF, another that pads are zero.
 *
 * Times are CLOCK_BOOTTIME nanoseconds; 0 means "not seen". Jiffies are the kernel's 32-bit ones:
 * the user side knows HZ (capture/programs.h). Numbers of states, errnos and reset reasons are the
 * running kernel's.
 */
#ifndef TCPTRAIL_ABI_RECORD_H
#define TCPTRAIL_ABI_RECORD_H

#include <linux/types.h>

#define TCPTRAIL_RECORD_VERSION 5
#define TCPTRAIL_NAME_LEN 16 /* TASK_COMM_LEN, TCP_CA_NAME_MAX */

/*
 * A connection passes each TCP state at most once. Its first one is that of its birth, the last one CLOSE: in
 * between are at most SYN_RECV, ESTABLISHED, and FIN_WAIT1 with CLOSING or FIN_WAIT2, or CLOSE_WAIT with
 * LAST_ACK.
 */
#define TCPTRAIL_TIMELINE_LEN 4

enum tcptrail_role {
    TCPTRAIL_ROLE_UNKNOWN = 0,
    TCPTRAIL_ROLE_CLIENT = 1,
    TCPTRAIL_ROLE_SERVER = 2,
};

enum tcptrail_owner_source {
    TCPTRAIL_OWNER_UNKNOWN = 0,
    TCPTRAIL_OWNER_CONNECT = 1,
    TCPTRAIL_OWNER_ACCEPT = 2,
    TCPTRAIL_OWNER_LISTENER = 3,
    TCPTRAIL_OWNER_SCAN = 4,
};

enum tcptrail_reset_direction {
    TCPTRAIL_RESET_NONE = 0,
    TCPTRAIL_RESET_SENT = 1,
    TCPTRAIL_RESET_RECEIVED = 2,
};

/* Bits of tcptrail_birth.flags. */
enum tcptrail_birth_flag {
    TCPTRAIL_BIRTH_ADOPTED = 1 << 0, /* open before the capture: found by the scan */
    TCPTRAIL_BIRTH_MISSED =
        1 << 1, /* no birth is known: all of tcptrail_birth but cookie and addresses is empty */
    TCPTRAIL_BIRTH_IGNORED = 1 << 2,    /* the agent's own: not told */
    TCPTRAIL_BIRTH_STATES_GAP = 1 << 3, /* a state change was not seen */
    TCPTRAIL_BIRTH_ENDING = 1 << 4, /* reached CLOSE by a local abort: the reset that follows completes it */
    TCPTRAIL_BIRTH_ESTABLISHED = 1 << 5, /* the change to ESTABLISHED was seen: it is in the timeline */
    /* Closed, reset or given up in a process's own call: its owner's, by pid and name, or another's. */
    TCPTRAIL_BIRTH_ENDED_BY_OWNER = 1 << 6,
    TCPTRAIL_BIRTH_ENDED_BY_OTHER = 1 << 7, /* tcptrail_details has who */
    TCPTRAIL_BIRTH_HAS_DETAILS = 1 << 8,
    TCPTRAIL_BIRTH_DETAILS_LOST = 1 << 9, /* or not all of them: there was no room, or agents changed */
    TCPTRAIL_BIRTH_TOLD_BEYOND = 1 << 10, /* the record that it was established is, or was, beyond the ring */
};

/* Bits of tcptrail_record.flags. */
enum tcptrail_record_flag {
    TCPTRAIL_RECORD_END_MISSED = 1 << 0,     /* the socket was found gone: tcptrail_socket is empty */
    TCPTRAIL_RECORD_SECOND_WITNESS = 1 << 1, /* told by tcp_destroy_sock: the change to CLOSE was not seen */
    TCPTRAIL_RECORD_ORPHAN = 1 << 2,         /* SOCK_DEAD: no process held the socket at the end */
    TCPTRAIL_RECORD_FIN_RECEIVED = 1 << 3,   /* SOCK_DONE: the peer's FIN arrived in order */
    TCPTRAIL_RECORD_KEEPALIVE = 1 << 4,
    TCPTRAIL_RECORD_NODELAY = 1 << 5,
    TCPTRAIL_RECORD_FAST_OPEN = 1 << 6,
    TCPTRAIL_RECORD_MPTCP = 1 << 7,
    TCPTRAIL_RECORD_HAS_RTO_COUNT = 1 << 8, /* Linux 6.7 and later */
    TCPTRAIL_RECORD_NO_SYN = 1 << 9,    /* connect() failed before a SYN was sent: tcptrail_socket is empty */
    TCPTRAIL_RECORD_PROGRESS = 1 << 10, /* still open; ended_ns is when it was looked at */
    TCPTRAIL_RECORD_OPENED = 1 << 11,   /* just established; ended_ns is when */
    TCPTRAIL_RECORD_TOLD_BEFORE = 1 << 12, /* an event of it was told while it was open */
};

/* A process, taken where it was `current`. */
struct tcptrail_actor {
    __u32 pid; /* thread group, initial pid namespace; 0: none */
    __u32 uid;
    char name[TCPTRAIL_NAME_LEN]; /* of the thread group's leader */
};

struct tcptrail_owner {
    __u64 cgroup_id; /* the socket's cgroup v2; 0: the kernel does not tell */
    __u64 start_ns;  /* of the process, CLOCK_BOOTTIME: tells it from another with the same pid */
    struct tcptrail_actor actor;
};

/*
 * What is remembered from the beginning of a connection on: the value of the map `connections`. It has 192
 * bytes at most, so that an element of that map, with its key (8), its header (48) and what the allocator
 * adds (8), fits 256 bytes: the next size of the kernel's has 512.
 */
struct tcptrail_birth {
    __u64 cookie;
    __u64 opened_ns;
    __u64 accepted_ns; /* server: accept() returned it */
    __u64 reset_ns;
    __u64 told_ns; /* by the last event of it while it was open; adopted: when it was found */
    /* state | nanoseconds since opened << 4, in order: from the second state on, and without CLOSE */
    __u64 timeline[TCPTRAIL_TIMELINE_LEN];
    struct tcptrail_owner owner;
    __u8 local[4]; /* both in network byte order: the whole of an IPv4 address, or the beginning */
    __u8 remote[4];
    __u16 local_port;      /* host byte order; 0: none was assigned */
    __u16 remote_port;     /* host byte order */
    __u32 netns;           /* inode */
    __u32 ifindex;         /* that the socket is bound to: the scope of a link-local address */
    __u32 synack_rtt_us;   /* server: SYN-ACK to its acknowledgement; 0: not measured */
    __u16 syn_retransmits; /* until established */
    __u16 reported_error;  /* errno of the last inet_sk_error_report */
    __u16 reset_reason;    /* enum sk_rst_reason; 0 where the kernel does not tell */
    __u16 flags;           /* enum tcptrail_birth_flag */
    __u8 family;           /* AF_INET, also of ::ffff:a.b.c.d; AF_INET6; 0: not known yet */
    __u8 owner_source;     /* enum tcptrail_owner_source */
    __u8 role;             /* enum tcptrail_role */
    __u8 state;            /* the last one seen */
    __u8 timeline_len;     /* the number of entries */
    __u8 reset_direction;  /* enum tcptrail_reset_direction */
    __u8 reset_state;      /* of the connection when the reset happened */
    /*
     * 1: found by the scan, or copied from the map of another version's programs, and not looked at by a
     * sweep since: it may have ended just before, and been told. Not among the flags: the sweep holds no
     * lock.
     */
    __u8 taken_over;
    char thread_name[TCPTRAIL_NAME_LEN];
    __u8 local_rest[12]; /* of an IPv6 address */
    __u8 remote_rest[12];
};

/* A birth in the map `slots`, and whose it is. */
struct tcptrail_slot {
    __u64 key; /* the address of the struct sock; 0: free; TCPTRAIL_SLOT_TAKEN: not filled yet */
    struct tcptrail_birth birth;
};

#define TCPTRAIL_SLOT_TAKEN 1

/*
 * In which slot: the upper bits of the lower half of its key times this, 2^32 divided by the golden ratio
 * (Knuth, The Art of Computer Programming, volume 3, 6.4).
 */
#define TCPTRAIL_SLOT_FACTOR 0x9e3779b1u

/* What few connections have: the value of the map `details`, whose key is the birth's. 56 bytes fit 128. */
struct tcptrail_details {
    __u64 retransmit_first_ns;
    __u64 retransmit_last_ns;
    /* Segments, by what made the kernel send them again; SYNs are not among them. */
    __u32 retransmits_seen;    /* tcp_sock's count when the last one was seen */
    __u32 fast_retransmits;    /* in TCP_CA_Recovery: later segments were acknowledged */
    __u32 timeout_retransmits; /* in TCP_CA_Loss */
    __u32 probe_retransmits;   /* in any other state: tail loss probes */
    __u32 fin_retransmits;     /* of all these, FINs without payload */
    __u32 ended_by_pid;        /* for ENDED_BY_OTHER, as in tcptrail_actor */
    char ended_by_name[TCPTRAIL_NAME_LEN];
};

/* What tcp_sock has counted by the end. */
struct tcptrail_socket {
    __u64 bytes_sent;
    __u64 bytes_acked;      /* the kernel's: SYN of a client and FIN included */
    __u64 bytes_received;   /* the kernel's: FIN included */
    __u32 rate_delivered;   /* segments, in the interval: tcp_compute_delivery_rate() */
    __u32 rate_interval_us; /* 0: not measured */
    __u32 segments_out;
    __u32 segments_in;
    __u32 data_segments_out;
    __u32 data_segments_in;
    __u32 srtt_us;        /* << 3 */
    __u32 mdev_us;        /* << 2 */
    __u32 rtt_min_us;     /* ~0: not measured */
    __u32 receive_rtt_us; /* << 3 */
    __u32 cwnd;
    __u32 ssthresh;
    __u32 quiet_jiffies; /* since the later of the last data sent, sent again or received */
    __u32 receive_queue; /* rcv_nxt - copied_seq: FIN counts one */
    __u32 keepalive_idle_jiffies;
    __u16 mss;
    __u16 error;   /* sk_err */
    __u8 shutdown; /* sk_shutdown: 3 once the application has closed */
    __u8 pad[3];
    char congestion[TCPTRAIL_NAME_LEN];
    __u8 pad_end[4];
};

/* The same, of a connection that had trouble: all zero otherwise, but for the time in which it was busy. */
struct tcptrail_trouble {
    __u64 bytes_retransmitted;
    /* Since the first of the data that is outstanding was sent, while there is some. */
    __u64 first_sent_us;
    /* Since the last of the data that was acknowledged was sent; 0: not known, SACK was not agreed on. */
    __u64 delivered_us;
    __u32 retransmits;
    __u32 rto_count;
    __u32 lost;
    __u32 reordering;
    __u32 dsack_duplicates;
    __u32 out_of_order_in;
    __u32 send_queue;        /* write_seq - snd_una: SYN and FIN count one each */
    __u32 chrono_jiffies[3]; /* busy only, window limited, buffer limited: each apart from the others */
    __u32 received_jiffies;  /* since the last data received */
    __u32 acked_jiffies;     /* since the last acknowledgement received, of data or not */
};

/* The long form; see lean.h for the short one. */
struct tcptrail_record {
    __u16 version; /* TCPTRAIL_RECORD_VERSION */
    __u16 size;    /* of this struct */
    __u32 flags;   /* enum tcptrail_record_flag */
    __u64 ended_ns;
    struct tcptrail_socket socket;
    struct tcptrail_birth birth;
    struct tcptrail_details details;
    struct tcptrail_trouble trouble;
};

#ifdef __cplusplus
#define TCPTRAIL_ASSERT_SIZE(type, bytes) static_assert(sizeof(struct type) == (bytes), #type)
#else
#define TCPTRAIL_ASSERT_SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type)
#endif
TCPTRAIL_ASSERT_SIZE(tcptrail_actor, 24);
TCPTRAIL_ASSERT_SIZE(tcptrail_owner, 40);
TCPTRAIL_ASSERT_SIZE(tcptrail_birth, 192);
TCPTRAIL_ASSERT_SIZE(tcptrail_slot, 200);
TCPTRAIL_ASSERT_SIZE(tcptrail_details, 56);
TCPTRAIL_ASSERT_SIZE(tcptrail_socket, 112);
TCPTRAIL_ASSERT_SIZE(tcptrail_trouble, 72);
TCPTRAIL_ASSERT_SIZE(tcptrail_record, 448);

#endif
