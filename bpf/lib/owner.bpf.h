/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Layer 1: whose connection it is. Only for hooks that run in the owner's own system call: in
 * softirq `current` is anybody.
 */
#ifndef TCPTRAIL_LIB_OWNER_BPF_H
#define TCPTRAIL_LIB_OWNER_BPF_H

#include "bpf/lib/read.bpf.h"

/* The process of a task, named by its thread group's leader. */
static __always_inline void owner_set_actor(struct tcptrail_actor* to, struct task_struct* task) {
    to->pid = task->tgid;
    bpf_probe_read_kernel(to->name, sizeof(to->name), task->group_leader->comm);
}

static __always_inline void owner_set_task(struct tcptrail_owner* to, const struct sock* sk,
                                           struct task_struct* task) {
    owner_set_actor(&to->actor, task);
    to->start_ns = task->group_leader->start_boottime;
    to->cgroup_id = compat_cgroup_id(sk);
}

/* All but the cgroup, which is the socket's. */
static __always_inline void owner_set_process(struct tcptrail_owner* to, __u32 source) {
    struct task_struct* task = bpf_get_current_task_btf();

    owner_set_actor(&to->actor, task);
    to->start_ns = task->group_leader->start_boottime;
    to->actor.uid = (__u32)bpf_get_current_uid_gid();
    bpf_get_current_comm(to->thread_name, sizeof(to->thread_name));
    to->source = source;
}

/*
 * `current` is a thread of the kernel's own, and the call nobody's: MPTCP opens and closes subflows from a
 * worker, as network file systems do.
 */
static __always_inline bool owner_is_kernel(void) {
    return bpf_get_current_task_btf()->flags & PF_KTHREAD;
}

static __always_inline void owner_set_current_actor(struct tcptrail_actor* to) {
    if (owner_is_kernel()) return;
    owner_set_actor(to, bpf_get_current_task_btf());
    to->uid = (__u32)bpf_get_current_uid_gid();
}

static __always_inline void owner_set_current(struct tcptrail_owner* to, const struct sock* sk,
                                              __u32 source) {
    if (!owner_is_kernel()) owner_set_process(to, source);
    to->cgroup_id = compat_cgroup_id(sk);
}

/*
 * The listener that a child was cloned from, in the one moment when it can be told: at the change
 * LISTEN → SYN_RECV the child is still a byte-wise copy, and its empty list tsq_node points at the
 * listener's own (tcp_create_openreq_child() makes it the child's right after). The result is only
 * ever used as a key into `listeners`, so that a kernel in which this does not hold finds nothing
 * rather than something wrong.
 */
static __always_inline __u64 owner_listener_of_clone(const struct tcp_sock* child) {
    return (__u64)child->tsq_node.next - bpf_core_field_offset(child->tsq_node);
}

#endif
