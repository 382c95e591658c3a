/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Layer 1: whose connection it is. Only for hooks that run in the owner's own system call: in
 * softirq `current` is anybody.
 */
#ifndef TCPTRAIL_LIB_OWNER_BPF_H
#define TCPTRAIL_LIB_OWNER_BPF_H

#include "bpf/lib/store.bpf.h"

/* The process of a task, named by its thread group's leader. */
static __always_inline void owner_set_actor(struct tcptrail_actor* to, struct task_struct* task) {
    to->pid = task->tgid;
    bpf_probe_read_kernel(to->name, sizeof(to->name), task->group_leader->comm);
}

/* The same of `current`. Before Linux 5.17 something may stand behind a name in the task; the helper pads it.
 */
static __always_inline void owner_set_current_actor(struct tcptrail_actor* to, struct task_struct* task) {
    if (task->pid != task->tgid) {
        owner_set_actor(to, task);
        return;
    }
    to->pid = task->tgid;
    bpf_get_current_comm(to->name, sizeof(to->name));
}

/* `task` is `current`: all but the cgroup, which is the socket's; and the name of its thread. */
static __always_inline void owner_set_process(struct tcptrail_owner* to, char* thread_name,
                                              struct task_struct* task) {
    bpf_get_current_comm(thread_name, TCPTRAIL_NAME_LEN);
    if (task->pid == task->tgid) {
        to->actor.pid = task->tgid;
        __builtin_memcpy(to->actor.name, thread_name, TCPTRAIL_NAME_LEN);
    } else {
        owner_set_actor(&to->actor, task);
    }
    to->actor.uid = (__u32)bpf_get_current_uid_gid();
    to->start_ns = task->group_leader->start_boottime;
}

/*
 * `current` is a thread of the kernel's own, and the call nobody's: MPTCP opens and closes subflows from a
 * worker, as network file systems do. To ask for `current` is a call each time.
 */
static __always_inline bool owner_is_kernel(const struct task_struct* task) {
    return task->flags & PF_KTHREAD;
}

/* All of an owner in a birth, but the cgroup, which is the socket's. */
static __always_inline void owner_assign(struct tcptrail_birth* birth, const struct tcptrail_owner* owner,
                                         const char* thread_name, __u8 source) {
    birth->owner.start_ns = owner->start_ns;
    birth->owner.actor = owner->actor;
    birth->owner_source = source;
    __builtin_memcpy(birth->thread_name, thread_name, sizeof(birth->thread_name));
}

/* The process and thread that are `current`. `birth` is on the stack. */
static __always_inline void owner_set_current(struct tcptrail_birth* birth, __u8 source) {
    struct task_struct* task = bpf_get_current_task_btf();

    if (owner_is_kernel(task)) return;
    owner_set_process(&birth->owner, birth->thread_name, task);
    birth->owner_source = source;
}

/* The same of `task`, which is `current`, for a birth in the map, which may become another's: it is written
 * when all is known. */
static __always_inline void owner_replace(struct tcptrail_birth* birth, __u8 source,
                                          struct task_struct* task) {
    char thread_name[TCPTRAIL_NAME_LEN] __attribute__((aligned(8)));
    struct tcptrail_owner owner = {};

    if (owner_is_kernel(task)) return;
    owner_set_process(&owner, thread_name, task);
    owner_assign(birth, &owner, thread_name, source);
}

/* `birth`, which is in the map, is ended in a call of `current`. */
static __always_inline void owner_set_ended_by(__u64 key, struct tcptrail_birth* birth) {
    struct task_struct* task = bpf_get_current_task_btf();
    struct tcptrail_details* details;
    struct tcptrail_actor by = {};

    if (owner_is_kernel(task)) return;
    owner_set_current_actor(&by, task);
    birth->flags &= ~(TCPTRAIL_BIRTH_ENDED_BY_OWNER | TCPTRAIL_BIRTH_ENDED_BY_OTHER);
    if (by.pid == birth->owner.actor.pid && store_same_name(by.name, birth->owner.actor.name)) {
        birth->flags |= TCPTRAIL_BIRTH_ENDED_BY_OWNER;
        return;
    }
    birth->flags |= TCPTRAIL_BIRTH_ENDED_BY_OTHER;
    details = store_details(key, birth);
    if (!details) return;
    details->ended_by_pid = by.pid;
    __builtin_memcpy(details->ended_by_name, by.name, sizeof(by.name));
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
