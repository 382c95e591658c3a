// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/capture/agent_maps.h"
#include "agent/capture/handover.h"
#include "agent/capture/hooks.h"
#include "agent/capture/iterator.h"
#include "agent/capture/options.h"
#include "agent/capture/slots.h"
#include "bpf/abi/walk.h"

struct tcptrail_bpf;
struct tcptrail_control;
struct bpf_link;
struct bpf_program;

namespace tcptrail::capture {

// trace: all that this kernel can. look: the iterators alone, which see what is open at the moment and cost
// the host nothing afterwards.
enum class Purpose { trace, look };

// The BPF object, loaded and attached. Detaches and unloads when it goes, unless it is pinned.
class Programs {
public:
    // Loads and attaches. Fails when a required hook cannot be attached: ExitCode::unavailable, or
    // no_permission when a capability is what is missing.
    // `handover`, where what traces is to outlive us, is borrowed.
    static Result<std::unique_ptr<Programs>> load(const Options& options, Purpose purpose = Purpose::trace,
                                                  Handover* handover = nullptr);
    ~Programs();
    Programs(const Programs&) = delete;
    Programs& operator=(const Programs&) = delete;

    // Finds the listeners and connections that are open already, and remembers those that no hook has seen.
    Result<> scan();
    // The same, without those that were ending while they were found, and have been told.
    Result<> adopt();
    // Whether tracing outlives us.
    bool is_pinned() const { return handover_ && pin_problem_.empty(); }
    // Why it does not although there is a handover.
    const std::string& pin_problem() const { return pin_problem_; }
    // Shared with the programs, and with the agents before and after us.
    tcptrail_control& control();
    // What the control map says while these programs trace.
    uint32_t generation() const;
    uint64_t abandon_after_ns() const { return abandon_after_ns_; }
    // Attaches again what is no longer attached. Returns how many there were.
    Result<size_t> restore_links();
    // Pins again what is no longer pinned, though it was. Returns how many there were. What fails is
    // pin_problem() from then on, until it is done.
    size_t restore_pins();
    size_t pinned() const { return handover_ ? handover_->pinned() : 0; }

    // No record comes after this, and births that are remembered are forgotten. Not for what is pinned.
    void detach() { links_.clear(); }
    // Tells the births whose socket is gone as END_MISSED, through the ring.
    // `consumer`, where there is one, gets a tcptrail_open for each of the rest.
    Result<> sweep(const ElementConsumer& consumer);
    // What is open: a tcptrail_record for each connection of which nothing was told for `untold_ns` (0: for
    // each that is known), a tcptrail_listener_record for each listener.
    Result<> walk_connections(uint64_t untold_ns, const ElementConsumer& consumer,
                              const BetweenReads& between = nullptr);
    Result<> walk_listeners(const ElementConsumer& consumer);
    // Each process with its network namespace.
    Result<std::vector<tcptrail_task_netns>> tasks();
    // From now on also walks, before its own, over the maps of the agent that traces this host: it saw the
    // beginnings. What is in both comes twice. Does nothing where there is none; fails where it cannot be
    // asked.
    Result<> borrow_maps_of_agent();

    // Summed over the programs; run_time only while kernel.bpf_stats_enabled.
    struct Runs {
        uint64_t recursion_misses = 0;  // runs that the kernel skipped
        uint64_t run_time_ns = 0;
    };
    Runs runs() const;

    int ring_fd() const;
    int overflow_fd() const;
    int counters_fd() const;
    int connections_fd() const;
    int bind_failures_fd() const;
    int untold_fd() const;
    const std::vector<HookStatus>& hooks() const { return hooks_; }
    const std::vector<std::string>& reset_reasons() const { return reset_reasons_; }

private:
    struct ObjectClose {
        void operator()(tcptrail_bpf* object) const;
    };
    struct LinkDestroy {
        void operator()(bpf_link* link) const;
    };

    using Link = std::unique_ptr<bpf_link, LinkDestroy>;

    Programs() = default;
    Result<> load_what_fits(const Options& options, const KernelTypes& types);
    Result<> map_control();
    Result<> open(const Options& options);
    Result<> find_maps_of_agent();
    int borrowed(Fd AgentMaps::* map) const;
    void choose(const Options& options, const KernelTypes& types,
                const std::map<std::string, std::string>& refusals);
    int attach_one(HookStatus& hook);  // errno, or 0
    void read_costs();
    Result<> attach();
    void switch_on(const Options& options);
    bool is_told_by_trampoline(const HookStatus& hook) const;
    static bool is_loaded(const bpf_program* program);
    void keep_one_means();
    int attach_trace_event(HookStatus& hook, const bpf_program* program, Link& slot);
    int attach_to_kernel(HookStatus& hook, Link& slot);  // errno, or 0
    Result<> restore_link(const char* program, Link& link);
    void leave_links();
    static int keep(Link& slot, bpf_link* link);  // errno, or 0
    static int attach_map_iterator(Link& slot, const bpf_program* program, int map);

    std::unique_ptr<tcptrail_bpf, ObjectClose> object_;
    Handover* handover_ = nullptr;
    std::string pin_problem_;
    uint64_t abandon_after_ns_ = 0;
    std::vector<std::pair<const char*, Link>> links_;  // by program
    std::vector<int> trace_events_;                    // what some of them are attached to: theirs
    std::set<std::string_view> lost_links_;            // that another program took away, and are not back
    Link scan_, sweep_, walk_tasks_;
    std::vector<Link> walk_connections_, walk_listeners_;  // one for each map that is walked over
    std::optional<Slots> slots_;                           // once loaded
    std::optional<Slots> borrowed_slots_;        // of the agent that traces this host, for who only looks
    Result<std::optional<AgentMaps>> borrowed_;  // of the agent that traces this host, for who only looks
    Purpose purpose_ = Purpose::trace;
    std::vector<HookStatus> hooks_;
    std::vector<std::string> reset_reasons_;
};

// The frequency of jiffies: the coarse clocks advance once per jiffy (ktime_get_coarse_ts64(),
// KTIME_LOW_RES), and tell so. 0 when they do not.
uint32_t kernel_hz();

}  // namespace tcptrail::capture
