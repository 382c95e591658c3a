// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What tracing costs at least: programs that do nothing, and one that does nothing but tell. Beside them
 * stands what tcptrail costs.
 */
#include "bpf/kernel.bpf.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "tests/bench/reference.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Of tcptrail's size; reference.cc takes from it. */
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 23);
} ring SEC(".maps");

__u64 ring_full = 0;

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(empty_state, struct sock* sk, int oldstate, int newstate) {
    return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(empty_destroy, struct sock* sk) {
    return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(emit, struct sock* sk, int oldstate, int newstate) {
    struct tcp_sock* tp;
    struct reference_record* record;

    if (newstate != TCP_CLOSE || oldstate == TCP_CLOSE || oldstate == TCP_LISTEN) return 0;
    if (sk->sk_protocol != IPPROTO_TCP) return 0;
    tp = bpf_skc_to_tcp_sock(sk);
    if (!tp) return 0;
    record = bpf_ringbuf_reserve(&ring, sizeof *record, 0);
    if (!record) {
        __sync_fetch_and_add(&ring_full, 1);
        return 0;
    }
    record->ended_ns = bpf_ktime_get_boot_ns();
    record->bytes_sent = tp->bytes_sent;
    record->bytes_received = tp->bytes_received;
    record->netns = sk->__sk_common.skc_net.net->ns.inum;
    record->remote = sk->__sk_common.skc_daddr;
    record->local_port = tp->inet_conn.icsk_inet.inet_sport;
    record->remote_port = sk->__sk_common.skc_dport;
    record->family = sk->__sk_common.skc_family;
    record->old_state = oldstate;
    bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
    return 0;
}
