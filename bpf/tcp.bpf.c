// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The hook table: every program of tcptrail. */
#include "bpf/kernel.bpf.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/hooks/call.bpf.h"
#include "bpf/hooks/destroy.bpf.h"
#include "bpf/hooks/error.bpf.h"
#include "bpf/hooks/reset.bpf.h"
#include "bpf/hooks/retransmit.bpf.h"
#include "bpf/hooks/scan.bpf.h"
#include "bpf/hooks/state.bpf.h"
#include "bpf/hooks/sweep.bpf.h"
#include "bpf/hooks/walk.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* What some kernels refuse stands first: they are loaded in this order, and an attempt ends with the first
 * that is refused, before the long ones are verified for nothing. */
SEC("fexit/inet_stream_connect")
int BPF_PROG(connect_returned, struct socket* socket, void* address, int length, int flags, int result) {
    return control_is_ours() ? call_connect_returned(socket->sk, address, length, result) : 0;
}

/* Until Linux 6.9. */
SEC("fexit/inet_csk_accept")
int BPF_PROG(accept_returned_flags, struct sock* listener, int flags, int* error, bool kern,
             struct sock* accepted) {
    return control_is_ours() ? call_accepted(accepted) : 0;
}

/* From Linux 6.10 on. */
SEC("fexit/inet_csk_accept")
int BPF_PROG(accept_returned, struct sock* listener, void* how, struct sock* accepted) {
    return control_is_ours() ? call_accepted(accepted) : 0;
}

SEC("fexit/inet_bind")
int BPF_PROG(bind_returned, struct socket* socket, void* address, int length, int result) {
    return control_is_ours() ? call_bind_returned(socket->sk, address, length, result) : 0;
}

SEC("fexit/inet6_bind")
int BPF_PROG(bind6_returned, struct socket* socket, void* address, int length, int result) {
    return control_is_ours() ? call_bind_returned(socket->sk, address, length, result) : 0;
}

SEC("iter/bpf_map_elem")
int sweep(struct bpf_iter__bpf_map_elem* ctx) {
    return sweep_element(ctx);
}

SEC("iter/bpf_map_elem")
int walk_connections(struct bpf_iter__bpf_map_elem* ctx) {
    return walk_connection(ctx);
}

SEC("iter/bpf_map_elem")
int walk_listeners(struct bpf_iter__bpf_map_elem* ctx) {
    return walk_listener(ctx);
}

SEC("iter/task_file")
int scan(struct bpf_iter__task_file* ctx) {
    return scan_file(ctx);
}

SEC("iter/task")
int walk_tasks(struct bpf_iter__task* ctx) {
    return walk_task(ctx);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(inet_sock_set_state, struct sock* sk, int oldstate, int newstate) {
    return control_is_ours() ? state_changed(sk, oldstate, newstate) : 0;
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(tcp_destroy_sock, struct sock* sk) {
    return control_is_ours() ? socket_destroyed(sk) : 0;
}

/* Where the tracepoint tells only of what left; newer kernels tell of failures too. */
SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(tcp_retransmit_skb, struct sock* sk, struct sk_buff* skb) {
    return control_is_ours() ? segment_retransmitted(sk, skb) : 0;
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(tcp_retransmit_skb_err, struct sock* sk, struct sk_buff* skb, int err) {
    return !err && control_is_ours() ? segment_retransmitted(sk, skb) : 0;
}

SEC("tp_btf/tcp_retransmit_synack")
int BPF_PROG(tcp_retransmit_synack, struct sock* sk, struct request_sock* req) {
    return control_is_ours() ? synack_retransmitted() : 0;
}

/* Until Linux 6.9. */
SEC("tp_btf/tcp_send_reset")
int BPF_PROG(tcp_send_reset, struct sock* sk, struct sk_buff* skb) {
    return control_is_ours() ? reset_sent(sk, 0) : 0;
}

/* From Linux 6.10 on. */
SEC("tp_btf/tcp_send_reset")
int BPF_PROG(tcp_send_reset_reason, struct sock* sk, struct sk_buff* skb, int reason) {
    return control_is_ours() ? reset_sent(sk, reason) : 0;
}

SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(tcp_receive_reset, struct sock* sk) {
    return control_is_ours() ? reset_received(sk) : 0;
}

SEC("tp_btf/inet_sk_error_report")
int BPF_PROG(inet_sk_error_report, struct sock* sk) {
    return control_is_ours() ? error_reported(sk) : 0;
}

/* Where trampolines are refused. */
SEC("tracepoint/syscalls/sys_exit_connect")
int sys_exit_connect(struct trace_event_raw_sys_exit* ctx) {
    return control_is_ours() ? call_connect_exits(ctx->ret) : 0;
}

SEC("tracepoint/syscalls/sys_exit_bind")
int sys_exit_bind(struct trace_event_raw_sys_exit* ctx) {
    return control_is_ours() ? call_bind_exits(ctx->ret) : 0;
}

SEC("tracepoint/syscalls/sys_exit_accept")
int sys_exit_accept(struct trace_event_raw_sys_exit* ctx) {
    return control_is_ours() ? call_accept_exits(ctx->ret) : 0;
}

SEC("tracepoint/syscalls/sys_exit_accept4")
int sys_exit_accept4(struct trace_event_raw_sys_exit* ctx) {
    return control_is_ours() ? call_accept_exits(ctx->ret) : 0;
}

/* Over slots, and where iterators over maps are refused: run by the agent for each key, not attached. */
SEC("raw_tp")
int sweep_by_key(void* ctx) {
    return sweep_key();
}

SEC("raw_tp")
int walk_connections_by_key(void* ctx) {
    return walk_connection_key();
}

SEC("raw_tp")
int walk_listeners_by_key(void* ctx) {
    return walk_listener_key();
}
