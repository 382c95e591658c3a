// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/hooks.h"

#include <bpf/btf.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

#include "agent/base/capabilities.h"

namespace tcptrail::capture {

namespace {

constexpr const char* default_btf = "/sys/kernel/btf/vmlinux";
constexpr std::string_view tracepoint_prefix = "tp_btf/";
constexpr std::string_view trampoline_prefix = "fexit/";
constexpr std::string_view reason_prefix = "SK_RST_REASON_";

constexpr const char* connects = "attempts that end before a SYN is sent: no route, denied";
constexpr const char* accepts = "which process accepted, and how long the connection waited for it";

constexpr const char* binds = "ports that bind() did not get";
constexpr const char* not_by_exits =
    "results of calls through io_uring, of 32-bit processes and of the kernel itself";

constexpr const char* missed_ends = "connections whose end no hook saw";
constexpr const char* while_open = "how connections are while they are open";
constexpr const char* queues = "queues of listeners";

constexpr std::array<HookPlan, 26> plan = {{
    {"iter/task_file", "scan", "owners of sockets that were open before the capture", false, 0, 0, false,
     Means::iterator},
    {"iter/bpf_map_elem:sweep", "sweep", missed_ends, false, 0, 0, false, Means::iterator},
    {"iter/bpf_map_elem:connections", "walk_connections", while_open, false, 0, 0, false, Means::iterator},
    {"iter/bpf_map_elem:listeners", "walk_listeners", queues, false, 0, 0, false, Means::iterator},
    {"raw_tp:sweep", "sweep_by_key", missed_ends, false, 0, 0, false, Means::by_key},
    {"raw_tp:connections", "walk_connections_by_key", while_open, false, 0, 0, false, Means::by_key},
    {"raw_tp:listeners", "walk_listeners_by_key", queues, false, 0, 0, false, Means::by_key},
    {"iter/task", "walk_tasks", "how many of the connections that the kernel counts were told", false, 0, 0,
     false, Means::iterator},
    {"tp_btf/tcp_retransmit_skb", "tcp_retransmit_skb_err", "times of retransmissions", false, 3, 0, true},
    {"tp_btf/tcp_retransmit_skb", "tcp_retransmit_skb", "times of retransmissions", false, 2, 2},
    {"tp_btf/tcp_retransmit_synack", "tcp_retransmit_synack",
     "SYN-ACK retransmissions of attempts that failed", false, 1, 0},
    {"tp_btf/inet_sk_error_report", "inet_sk_error_report",
     "errors that the application fetched before the end", false, 1, 0},
    {"tp_btf/tcp_receive_reset", "tcp_receive_reset", "resets received: time and state", false, 1, 0},
    {"tp_btf/tcp_send_reset", "tcp_send_reset_reason", "the kernel's reason for resets sent", false, 3, 0},
    {"tp_btf/tcp_send_reset", "tcp_send_reset", "resets sent", false, 2, 2},
    {"tp_btf/tcp_destroy_sock", "tcp_destroy_sock", "ends that the first witness missed", false, 1, 0},
    {"fexit/inet_stream_connect", "connect_returned", connects, false, 4, 0, false, Means::trampoline},
    {"fexit/inet_csk_accept", "accept_returned_flags", accepts, false, 4, 0, true, Means::trampoline},
    {"fexit/inet_csk_accept", "accept_returned", accepts, false, 2, 2, false, Means::trampoline},
    {"fexit/inet_bind", "bind_returned", binds, false, 3, 0, false, Means::trampoline},
    {"fexit/inet6_bind", "bind6_returned", binds, false, 3, 0, false, Means::trampoline},
    {"tracepoint/syscalls/sys_exit_bind", "sys_exit_bind", binds, false, 0, 0, false, Means::system_call,
     not_by_exits},
    {"tracepoint/syscalls/sys_exit_connect", "sys_exit_connect", connects, false, 0, 0, false,
     Means::system_call, not_by_exits},
    {"tracepoint/syscalls/sys_exit_accept", "sys_exit_accept", accepts, false, 0, 0, false,
     Means::system_call, not_by_exits},
    {"tracepoint/syscalls/sys_exit_accept4", "sys_exit_accept4", accepts, false, 0, 0, false,
     Means::system_call, not_by_exits},
    {"tp_btf/inet_sock_set_state", "inet_sock_set_state", "anything", true, 3, 0},
}};

struct BtfFree {
    void operator()(btf* b) const { btf__free(b); }
};

int count_function_arguments(const btf* types, std::string_view function) {
    const int id = btf__find_by_name_kind(types, std::string(function).c_str(), BTF_KIND_FUNC);
    if (id < 0) return -1;
    const btf_type* prototype = btf__type_by_id(types, btf__type_by_id(types, id)->type);
    return prototype && btf_is_func_proto(prototype) ? btf_vlen(prototype) : -1;
}

// A tracepoint NAME(a, b) is the typedef btf_trace_NAME of a pointer to a function (context, a, b).
int count_tracepoint_arguments(const btf* types, std::string_view tracepoint) {
    const std::string name = "btf_trace_" + std::string(tracepoint);
    const int id = btf__find_by_name_kind(types, name.c_str(), BTF_KIND_TYPEDEF);
    if (id < 0) return -1;
    const btf_type* pointer = btf__type_by_id(types, btf__type_by_id(types, id)->type);
    if (!pointer || !btf_is_ptr(pointer)) return -1;
    const btf_type* function = btf__type_by_id(types, pointer->type);
    if (!function || !btf_is_func_proto(function) || btf_vlen(function) == 0) return -1;
    return btf_vlen(function) - 1;
}

std::vector<std::string> read_reset_reasons(const btf* types) {
    std::vector<std::string> reasons;
    const int id = btf__find_by_name_kind(types, "sk_rst_reason", BTF_KIND_ENUM);
    if (id < 0) return reasons;
    const btf_type* type = btf__type_by_id(types, id);
    const struct btf_enum* values = btf_enum(type);
    for (int i = 0; i < btf_vlen(type); ++i) {
        if (values[i].val < 0 || values[i].val > 1024) continue;
        const auto number = static_cast<size_t>(values[i].val);
        std::string_view name = btf__name_by_offset(types, values[i].name_off);
        if (name.starts_with(reason_prefix)) name.remove_prefix(reason_prefix.size());
        if (reasons.size() <= number) reasons.resize(number + 1);
        reasons[number] = name;
    }
    return reasons;
}

// Of iter/task_file and iter/task: the kernel shows them the processes of the reader's own namespace.
bool sees_all_processes() {
    constexpr ino_t initial = 0xEFFFFFFC;  // PROC_PID_INIT_INO of include/linux/proc_ns.h
    struct stat status{};
    return stat("/proc/self/ns/pid", &status) != 0 || status.st_ino == initial;
}

}  // namespace

std::span<const HookPlan> hook_plan() {
    return plan;
}

std::vector<MissingFact> missing_facts(std::span<const HookStatus> hooks) {
    std::vector<MissingFact> missing;
    const auto add = [&](const char* fact, const std::string& why) {
        const auto known = std::ranges::find(missing, fact, &MissingFact::fact);
        if (known == missing.end())
            missing.push_back({fact, why});
        else if (known->why.find(why) == std::string::npos)
            known->why += ", " + why;
    };
    for (const HookStatus& hook : hooks) {
        if (!hook.attached)
            add(hook.plan->missing_fact, std::string(hook.plan->name) + ": " + hook.problem);
        else if (hook.plan->never_told)
            add(hook.plan->never_told,
                "connect(), accept() and bind() are seen at the exits of system calls");
    }
    for (const Capability& capability : useful_capabilities())
        if (capability.missing_fact && !has(capability))
            missing.push_back({fmt::format("{} (without {})", capability.missing_fact, capability.name), ""});
    if (!sees_all_processes())
        missing.push_back(
            {"connections and listeners from before the start, until they end (in a pid "
             "namespace of its own)",
             ""});
    return missing;
}

Result<KernelTypes> read_kernel_types(const Options& options) {
    const std::string path = options.btf.empty() ? default_btf : options.btf;
    const std::unique_ptr<btf, BtfFree> types(btf__parse(path.c_str(), nullptr));
    if (!types) {
        utsname system{};
        uname(&system);
        return fail("the kernel's type information (BTF) cannot be read from " + path + ": " +
                        strerror(errno) + "; Linux " + system.release +
                        " must be 5.15 or later and built with CONFIG_DEBUG_INFO_BTF=y",
                    ExitCode::unavailable);
    }
    KernelTypes result;
    for (const HookPlan& hook : plan) {
        const std::string_view name = hook.name;
        result.arguments.push_back(
            name.starts_with(tracepoint_prefix)
                ? count_tracepoint_arguments(types.get(), name.substr(tracepoint_prefix.size()))
            : name.starts_with(trampoline_prefix)
                ? count_function_arguments(types.get(), name.substr(trampoline_prefix.size()))
                : 0);
    }
    result.reset_reasons = read_reset_reasons(types.get());
    if (const int id = btf__find_by_name_kind(types.get(), "tcp_sock", BTF_KIND_STRUCT); id > 0)
        result.tcp_sock_bytes = btf__type_by_id(types.get(), static_cast<uint32_t>(id))->size;
    return result;
}

}  // namespace tcptrail::capture
