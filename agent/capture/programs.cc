// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <limits>
#include <thread>

#include "agent/base/capabilities.h"
#include "agent/capture/agent_maps.h"
#include "agent/capture/trace_events.h"
#include "bpf/abi/config.h"
#include "bpf/abi/control.h"
#include "bpf/abi/counters.h"
#include "bpf/abi/listener.h"
#include "bpf/abi/record.h"
#include "bpf/abi/untold.h"
#include "tcp.skel.h"

namespace tcptrail::capture {

namespace {

// libbpf's last warnings: the only place where it says why the kernel refused something.
std::string& libbpf_words() {
    thread_local std::string words;
    return words;
}

int keep_libbpf_words(libbpf_print_level level, const char* format, va_list arguments) {
    if (level != LIBBPF_WARN) return 0;
    static thread_local std::array<char, 1 << 16> line;  // the verifier's log comes as one message
    const int length = vsnprintf(line.data(), line.size(), format, arguments);
    std::string& words = libbpf_words();
    if (words.size() < line.size()) words += line.data();
    return length;
}

// libbpf's headline, and the last thing that the verifier said, if it is what refused.
std::string libbpf_reason() {
    const std::string& words = libbpf_words();
    std::string reason = words.substr(0, words.find('\n'));
    if (const size_t end = words.find("\nprocessed "); end != std::string::npos && end > 0) {
        const size_t begin = words.rfind('\n', end - 1);
        const std::string said = words.substr(begin + 1, end - begin - 1);
        if (!said.starts_with("libbpf: ")) reason += "; the verifier: " + said;
    }
    return reason.empty() ? std::string("no reason given") : reason;
}

// Its log ends with how much it has looked at.
bool is_verifiers_verdict() {
    return libbpf_words().find("\nprocessed ") != std::string::npos;
}

// The program that libbpf's words say was refused, or empty: "prog 'NAME': BPF program load failed".
std::string refused_program() {
    const std::string& words = libbpf_words();
    const size_t failed = words.find("': BPF program load failed");
    if (failed == std::string::npos) return {};
    const size_t begin = words.rfind('\'', failed - 1);
    return begin == std::string::npos ? std::string() : words.substr(begin + 1, failed - begin - 1);
}

// Of what loading takes.
std::vector<const char*> missing_capabilities() {
    std::vector<const char*> missing;
    for (const Capability& capability : useful_capabilities())
        if (capability.is_required && !has(capability)) missing.push_back(capability.name);
    return missing;
}

// Why the kernel said no, as an error that ends the program with the right status.
std::unexpected<Error> refused(const std::string& what, int error) {
    if (error == EPERM || error == EACCES) {
        if (const auto missing = missing_capabilities(); !missing.empty())
            return fail(fmt::format("{}: missing {}; run as root or give the program these capabilities",
                                    what, fmt::join(missing, " and ")),
                        ExitCode::no_permission);
        // libbpf takes any EPERM for a limit of locked memory, which kernels since 5.11 do not have.
        if (!is_verifiers_verdict())
            return fail(
                what + ": " + strerror(error) +
                    " although the capabilities are there: a seccomp profile, a security module or the "
                    "kernel's lockdown forbids it; allow it bpf() and perf_event_open()",
                ExitCode::no_permission);
    }
    return fail(what + ": " + strerror(error) + " (" + libbpf_reason() + ")" +
                    (error == ENOMEM ? "; give its memory cgroup more, or lower capture.ring_bytes and "
                                       "capture.max_connections"
                                     : "; tcptrail check tells what this kernel has"),
                ExitCode::unavailable);
}

// What a kernel that forbids the one forbids, too: trampolines, or an iterator over maps (some are built to
// refuse those whose elements can be written to).
bool is_same_means(const HookPlan& one, const HookPlan& other) {
    const auto place = [](const HookPlan& hook) {
        const std::string_view name = hook.name;
        return name.substr(0, name.find(':'));
    };
    return one.means == Means::trampoline ? other.means == Means::trampoline : place(one) == place(other);
}

bool is_iterator_refused(const HookPlan& by_key, const std::map<std::string, std::string>& refusals) {
    return std::ranges::any_of(hook_plan(), [&](const HookPlan& other) {
        return other.means == Means::iterator && other.missing_fact == by_key.missing_fact &&
               refusals.contains(other.program);
    });
}

bool is_wanted(Means means, Options::Calls calls) {
    switch (means) {
        case Means::trampoline:
            return calls == Options::Calls::automatic || calls == Options::Calls::trampolines;
        case Means::system_call:
            return calls == Options::Calls::automatic || calls == Options::Calls::tracepoints;
        case Means::tracepoint:
        case Means::iterator:
        case Means::by_key:
            break;
    }
    return true;
}

}  // namespace

void Programs::ObjectClose::operator()(tcptrail_bpf* object) const {
    tcptrail_bpf__destroy(object);
}
void Programs::LinkDestroy::operator()(bpf_link* link) const {
    bpf_link__destroy(link);
}
Programs::~Programs() {
    if (is_pinned()) leave_links();
}

Result<std::unique_ptr<Programs>> Programs::load(const Options& options, Purpose purpose,
                                                 Handover* handover) {
    std::unique_ptr<Programs> programs(new Programs);
    programs->purpose_ = purpose;
    programs->handover_ = handover;
    auto types = read_kernel_types(options);
    if (!types) return std::unexpected(std::move(types.error()));
    if (auto loaded = programs->load_what_fits(options, *types); !loaded)
        return std::unexpected(std::move(loaded.error()));
    auto slots = Slots::open(bpf_map__fd(programs->object_->maps.slots));
    if (!slots) return std::unexpected(std::move(slots.error()));
    programs->slots_.emplace(std::move(*slots));
    if (auto attached = programs->attach(); !attached) return std::unexpected(std::move(attached.error()));
    programs->reset_reasons_ = std::move(types->reset_reasons);
    if (purpose == Purpose::trace) programs->switch_on(options);
    return programs;
}

void Programs::switch_on(const Options& options) {
    abandon_after_ns_ = handover_ ? uint64_t{options.abandon_after_secs} * 1'000'000'000
                                  : static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    control().abandon_after_ns = abandon_after_ns_;
    if (!handover_) {
        control().last_generation = control().generation = generation();
        return;
    }
    std::vector<Handover::PinnedLink> pinned;
    for (const auto& [program, link] : links_)
        if (link) pinned.push_back({program, link.get()});
    if (auto switched = handover_->switch_over(*object_, pinned); !switched)
        pin_problem_ = std::move(switched.error().message);
}

tcptrail_control& Programs::control() {
    return object_->data_control->control;
}

uint32_t Programs::generation() const {
    return object_->rodata->config.generation;
}

// libbpf 1.1 maps the control map of the agent before, where that is reused; 1.5 (Debian 13) maps only what
// it has made itself, and what we wrote would reach nobody.
Result<> Programs::map_control() {
    if (mmap(object_->data_control, sizeof *object_->data_control, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED, bpf_map__fd(object_->maps.data_control), 0) == MAP_FAILED)
        return fail_errno("cannot map the control map of the programs", errno);
    return {};
}

// A kernel that refuses a program which is not required costs what that one tells, not everything.
Result<> Programs::load_what_fits(const Options& options, const KernelTypes& types) {
    std::map<std::string, std::string> refusals;  // why, by program
    constexpr int most_waits = 10;
    int waits = 0;
    while (true) {
        if (auto opened = open(options); !opened) return opened;
        hooks_.clear();
        choose(options, types, refusals);
        libbpf_words().clear();
        const int error = tcptrail_bpf__load(object_.get());
        if (!error) return map_control();
        // The maps of the attempt before go some time after it.
        if (error == -ENOMEM && ++waits <= most_waits) {
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            continue;
        }
        const std::string program = refused_program();
        const auto hook = std::ranges::find_if(
            hook_plan(), [&](const HookPlan& one) { return !program.empty() && program == one.program; });
        // Without the capabilities every program is refused: that is not the program's fault.
        if (hook == hook_plan().end() || hook->required || refusals.contains(program) ||
            (error == -EPERM && !missing_capabilities().empty()))
            return refused("the kernel does not take the BPF programs", -error);
        const std::string why = "the kernel does not take it: " + libbpf_reason();
        refusals[program] = why;
        // It is the means that is refused: no use in asking for each.
        if (error == -EPERM)
            for (const HookPlan& other : hook_plan())
                if (is_same_means(*hook, other)) refusals[other.program] = why;
    }
}

Result<> Programs::open(const Options& options) {
    libbpf_set_print(keep_libbpf_words);
    bpf_object_open_opts open_options{};
    open_options.sz = sizeof open_options;
    open_options.btf_custom_path = options.btf.empty() ? nullptr : options.btf.c_str();
    object_.reset(tcptrail_bpf__open_opts(&open_options));
    if (!object_) return fail_errno("the BPF object cannot be opened", errno);

    // Of no use to who only looks.
    const auto page = static_cast<uint32_t>(sysconf(_SC_PAGESIZE));
    bpf_map__set_max_entries(object_->maps.ring, purpose_ == Purpose::trace ? options.ring_bytes : page);
    const uint32_t overflow = purpose_ == Purpose::trace ? options.overflow_records : 0;
    bpf_map__set_max_entries(object_->maps.overflow, std::max(1u, overflow));
    object_->rodata->config.overflow_records = overflow;
    const uint32_t slots = std::max(2u, std::bit_floor(options.max_connections / 64));
    bpf_map__set_max_entries(object_->maps.slots, slots);
    object_->rodata->config.slot_shift = slot_shift(slots);
    bpf_map__set_max_entries(object_->maps.connections, options.max_connections);
    bpf_map__set_max_entries(object_->maps.details, std::max(1024u, options.max_connections / 8));
    // Woken at each quarter of the ring: early enough to drain it, rarely enough to cost nothing.
    object_->rodata->config.wake_shift = static_cast<uint32_t>(std::bit_width(options.ring_bytes)) - 3;
    object_->rodata->config.include_self = options.include_self;
    object_->rodata->config.tell_opened = options.tell_opened;
    object_->rodata->config.generation = 1;
    if (purpose_ == Purpose::look) return find_maps_of_agent();
    return handover_ ? handover_->take_maps(*object_) : Result<>();
}

// Loads only what the kernel has a place for; says why of the rest.
void Programs::choose(const Options& options, const KernelTypes& types,
                      const std::map<std::string, std::string>& refusals) {
    const auto plan = hook_plan();
    for (size_t i = 0; i < plan.size(); ++i) {
        const int arguments = types.arguments[i];
        if (purpose_ == Purpose::look && plan[i].means != Means::iterator && plan[i].means != Means::by_key) {
            bpf_program__set_autoload(bpf_object__find_program_by_name(object_->obj, plan[i].program), false);
            continue;
        }
        HookStatus status{&plan[i], false, ""};
        if (!is_wanted(plan[i].means, options.calls))
            status.problem = "switched off by capture.calls";
        else if (arguments < 0)
            status.problem = "this kernel has no such place";
        else if (arguments < plan[i].arguments)
            status.problem = "this kernel passes " + std::to_string(arguments) + " arguments, not " +
                             std::to_string(plan[i].arguments);
        else if (types.tcp_sock_bytes > TCPTRAIL_WALK_SOCKET_BYTES &&
                 std::string_view(plan[i].program).starts_with("walk_") &&
                 std::string_view(plan[i].program) != "walk_tasks")
            status.problem = "this kernel's struct tcp_sock has " + std::to_string(types.tcp_sock_bytes) +
                             " bytes, more than " + std::to_string(TCPTRAIL_WALK_SOCKET_BYTES);
        if (const auto refusal = refusals.find(plan[i].program); refusal != refusals.end())
            status.problem = refusal->second;
        const bool superseded = (plan[i].at_most && arguments > plan[i].at_most) ||
                                (plan[i].next_serves && arguments < plan[i].arguments) ||
                                (plan[i].means == Means::by_key && !is_iterator_refused(plan[i], refusals));
        bpf_program* program = bpf_object__find_program_by_name(object_->obj, plan[i].program);
        // Slots are gone over by key also where an iterator does the rest.
        bpf_program__set_autoload(program,
                                  status.problem.empty() && (!superseded || plan[i].means == Means::by_key));
        if (!superseded) hooks_.push_back(std::move(status));
    }
}

Result<> Programs::attach() {
    for (HookStatus& hook : hooks_) {
        if (!hook.problem.empty() || is_told_by_trampoline(hook)) continue;
        libbpf_words().clear();
        const int error = attach_one(hook);
        if (error && hook.plan->required)
            return refused(std::string("cannot attach to ") + hook.plan->name, error);
        if (error && hook.problem.empty())
            hook.problem = std::string(strerror(error)) + " (" + libbpf_reason() + ")";
        hook.attached = error == 0;
    }
    keep_one_means();
    read_costs();
    for (const HookStatus& hook : hooks_)
        if (hook.plan->required && !hook.attached)
            return fail(std::string("cannot attach to ") + hook.plan->name + ": " + hook.problem +
                            "; tcptrail check tells what this kernel has",
                        ExitCode::unavailable);
    return {};
}

int Programs::attach_one(HookStatus& hook) {
    const bpf_program* program = bpf_object__find_program_by_name(object_->obj, hook.plan->program);
    const auto& programs = object_->progs;
    if (hook.plan->means == Means::by_key) return 0;  // it is run, and attached to nothing
    if (program == programs.scan) return keep(scan_, bpf_program__attach_iter(program, nullptr));
    if (program == programs.walk_tasks) return keep(walk_tasks_, bpf_program__attach_iter(program, nullptr));
    if (program == programs.sweep) return attach_map_iterator(sweep_, program, connections_fd());
    if (program == programs.walk_connections)
        return attach_map_iterator(walk_connections_.emplace_back(), program, connections_fd());
    if (program == programs.walk_listeners)
        return attach_map_iterator(walk_listeners_.emplace_back(), program,
                                   bpf_map__fd(object_->maps.listeners));
    return attach_to_kernel(hook, links_.emplace_back(hook.plan->program, nullptr).second);
}

int Programs::attach_to_kernel(HookStatus& hook, Link& slot) {
    const bpf_program* program = bpf_object__find_program_by_name(object_->obj, hook.plan->program);
    return hook.plan->means == Means::system_call ? attach_trace_event(hook, program, slot)
                                                  : keep(slot, bpf_program__attach(program));
}

// Both means tell the same facts, which are then told twice.
bool Programs::is_told_by_trampoline(const HookStatus& hook) const {
    return hook.plan->means == Means::system_call &&
           std::ranges::any_of(hooks_, [&](const HookStatus& other) {
               return other.plan->means == Means::trampoline && other.attached &&
                      other.plan->missing_fact == hook.plan->missing_fact;
           });
}

// Of two means for one fact only that is shown which is in force, or else both with their problems.
void Programs::keep_one_means() {
    const auto has_other_means = [this](const HookStatus& hook) {
        return std::ranges::any_of(hooks_, [&](const HookStatus& other) {
            return other.attached && other.plan->means != hook.plan->means &&
                   other.plan->missing_fact == hook.plan->missing_fact;
        });
    };
    std::vector<HookStatus> shown;
    for (const HookStatus& hook : hooks_)
        if (hook.attached || !has_other_means(hook)) shown.push_back(hook);
    hooks_ = std::move(shown);
}

int Programs::attach_trace_event(HookStatus& hook, const bpf_program* program, Link& slot) {
    constexpr std::string_view prefix = "tracepoint/";
    auto event = open_trace_event(std::string(hook.plan->name).substr(prefix.size()));
    if (!event) {
        hook.problem = event.error().message;
        return EPERM;
    }
    const int error = keep(slot, bpf_program__attach_perf_event(program, event->get()));
    if (!error) trace_events_.push_back(event->release());  // the link's now
    return error;
}

int Programs::keep(Link& slot, bpf_link* link) {
    const int error = link ? 0 : errno;
    slot.reset(link);
    return error;
}

int Programs::attach_map_iterator(Link& slot, const bpf_program* program, int map) {
    bpf_iter_link_info info{};
    info.map.map_fd = static_cast<uint32_t>(map);
    bpf_iter_attach_opts options{};
    options.sz = sizeof options;
    options.link_info = &info;
    options.link_info_len = sizeof info;
    return keep(slot, bpf_program__attach_iter(program, &options));
}

void Programs::read_costs() {
    for (HookStatus& hook : hooks_) {
        bpf_prog_info info{};
        uint32_t length = sizeof info;
        const int fd = bpf_program__fd(bpf_object__find_program_by_name(object_->obj, hook.plan->program));
        if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0)
            hook.verified_instructions = info.verified_insns;
    }
}

Programs::Runs Programs::runs() const {
    Runs sums;
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object_->obj) {
        bpf_prog_info info{};
        uint32_t length = sizeof info;
        const int fd = bpf_program__fd(program);
        if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &length) < 0) continue;  // not loaded on this kernel
        sums.recursion_misses += info.recursion_misses;
        sums.run_time_ns += info.run_time_ns;
    }
    return sums;
}

int Programs::ring_fd() const {
    return bpf_map__fd(object_->maps.ring);
}
int Programs::overflow_fd() const {
    return bpf_map__fd(object_->maps.overflow);
}
int Programs::counters_fd() const {
    return bpf_map__fd(object_->maps.counters);
}
int Programs::bind_failures_fd() const {
    return bpf_map__fd(object_->maps.bind_failures);
}
int Programs::untold_fd() const {
    return bpf_map__fd(object_->maps.untold);
}
int Programs::connections_fd() const {
    return bpf_map__fd(object_->maps.connections);
}

uint32_t kernel_hz() {
    timespec tick{};
    if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) != 0 || tick.tv_sec != 0 || tick.tv_nsec <= 0) return 0;
    return static_cast<uint32_t>((1'000'000'000 + tick.tv_nsec / 2) / tick.tv_nsec);
}

}  // namespace tcptrail::capture
