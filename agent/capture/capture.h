// SPDX-License-Identifier: Apache-2.0
//
// The first stage: from the kernel to decoded records.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/base/counter.h"
#include "agent/base/error.h"
#include "agent/capture/counts.h"
#include "agent/capture/gap.h"
#include "agent/capture/hooks.h"
#include "agent/capture/iterator.h"
#include "agent/capture/layout.h"
#include "agent/capture/options.h"
#include "agent/capture/overflow.h"
#include "agent/capture/ring.h"
#include "bpf/abi/bind.h"
#include "bpf/abi/listener.h"
#include "bpf/abi/record.h"
#include "bpf/abi/walk.h"

struct tcptrail_control;

namespace tcptrail::capture {

class Handover;
class Programs;

// How far the reader has come, since the first of the agents that handed over to each other.
struct Place {
    uint64_t position = 0;  // behind the record that was read last, in the ring with this id
    uint32_t ring = 0;      // 0: none was read yet
    uint32_t pad = 0;
    uint64_t received = 0;   // records taken from the rings
    uint64_t malformed = 0;  // of these, refused by decode()
    uint64_t walked = 0;     // records of open connections
    uint64_t walked_malformed = 0;
};

// Owned and used by the capture thread; the counters may be read from any.
class Capture {
public:
    // False: not now. It gets the same record again with the next drain, and none behind it before.
    using Consumer = std::function<bool(const tcptrail_record&)>;

    // Takes over what the agent before left, where tracing is pinned. drain() and release() of it work from
    // here on: what waits in its ring is to leave that before anything else takes time. Each record goes to
    // `consumer`, from within drain(); it is valid only during the call.
    static Result<std::unique_ptr<Capture>> open(const Options& options, Consumer consumer);
    // Loads and attaches the programs, then scans for what is open already. Once.
    Result<> attach();
    // Both.
    static Result<std::unique_ptr<Capture>> start(const Options& options, Consumer consumer);
    ~Capture();
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;

    // ---- Agents before and after this one

    // Whether tracing goes on when this ends; why not, where that was wanted.
    bool is_pinned() const;
    const std::string& pin_problem() const { return pin_problem_; }
    // Why not all that the agent before knew of what is open was taken over; empty: it was, or nobody was.
    std::string not_taken_over() const;
    // What had to be smaller than the options say, in words; empty: nothing.
    const std::string& smaller() const { return smaller_; }
    // What the agent before said of itself: its run, and its last note; nothing where there was none.
    struct Predecessor {
        std::string run_id;
        std::vector<std::byte> note;
        bool tells_retransmits = false;
    };
    const std::optional<Predecessor>& predecessor() const { return predecessor_; }
    void set_run_id(const std::string& run_id);
    // Before the first drain(). `overflow` as overflow_position() was then.
    void go_on_from(const Place& place, uint64_t overflow);
    // The programs hear that we live; they end themselves when they do not. Looks whether another program has
    // touched what is ours - the control map, links, pins - and puts it right. Returns what there was, for an
    // operator. To be called at least once a second.
    Result<std::vector<std::string>> heartbeat();
    // When nothing was traced, since this agent's beginning or the end of the one before: the latest ones.
    const std::deque<Gap>& gaps() const { return gaps_; }

    // ---- Records

    // The ring's descriptor: to be polled for edges. Readable when the ring is filling up; between, drain on
    // a timer.
    int wake_fd() const;
    // Takes at most so many of the records that are in the ring and its overflow. Returns their number; 0:
    // both are empty, or the consumer does not take the next one.
    Result<uint64_t> drain(uint64_t most = std::numeric_limits<uint64_t>::max());
    // Whether the last drain() ended because the consumer did not take a record.
    bool is_held() const { return is_held_; }
    Place place() const;
    uint64_t overflow_position() const { return overflow_->position(); }  // goes with place()
    // What was read up to there is kept elsewhere: the kernel may write over it. `note`, of at most
    // TCPTRAIL_NOTE_LEN bytes, is for the agent after this one.
    void release(const Place& place, uint64_t overflow, std::span<const std::byte> note);
    // Used, whether read or not.
    uint64_t ring_used_bytes() const;
    // Records come faster than they are taken: a quarter of the ring is used, or more lies beyond it.
    bool is_filling() const { return ring_used_bytes() >= ring_bytes() / 4 || has_overflowed(); }
    bool has_overflowed() const { return overflow_used() > 0; }
    uint64_t ring_bytes() const { return options_.ring_bytes; }
    uint64_t overflow_used() const { return overflow_->used(); }  // records
    // Whether what is not released takes half of all the room there is, or records were lost since the last
    // call for want of it.
    bool is_short_of_room();
    // How many records there may be that drain() has not taken. A record has its place before it is
    // counted: what counts() said before is never more than what was taken and this.
    uint64_t unread_at_most() const;
    // Detaches from the kernel, unless what traces is pinned: then the accounts are final after one more
    // drain.
    void stop();

    // Looks for births whose socket is gone; what it finds comes with the next drain().
    // `consumer`, where there is one, gets what is open.
    using WalkConsumer = std::function<void(const tcptrail_record&)>;
    using OpenConsumer = std::function<void(const tcptrail_open&)>;
    Result<> sweep(const OpenConsumer& consumer = nullptr);
    // The connections that are open and of which nothing was told for so long, as records of progress; each
    // is then told. Between two reads of about sixty, when what was given has to be dealt with, `between`
    // drains: so the end of a connection comes after its progress. Where it ends the walk, the next one tells
    // the rest.
    Result<> progress(std::chrono::nanoseconds untold, const WalkConsumer& consumer,
                      const BetweenReads& between);
    using ListenerConsumer = std::function<void(const tcptrail_listener_record&)>;
    Result<> listeners(const ListenerConsumer& consumer);
    // Each process with its network namespace.
    Result<std::vector<tcptrail_task_netns>> tasks();

    // ---- What it counted and knows

    Result<KernelCounts> counts() const;
    // Of the lifecycles for which the ring had no room.
    Result<UntoldTotals> untold() const;
    // Each refusal of bind() so far, by process, address and errno.
    struct BindFailure {
        tcptrail_bind_key key;
        tcptrail_bind_failure failure;
    };
    Result<std::vector<BindFailure>> bind_failures() const;
    // Summed over the programs; run_time_ns is 0 unless kernel.bpf_stats_enabled.
    struct Runs {
        uint64_t recursion_misses = 0;
        uint64_t run_time_ns = 0;
    };
    Runs runs() const;
    uint32_t hz() const;  // of jiffies; 0: not known
    const std::vector<HookStatus>& hooks() const;
    const std::vector<std::string>& reset_reasons() const;

    // See Place.
    Counter received, malformed, walked, walked_malformed;

private:
    // A ring that is read, and how its records become ours.
    struct Source {
        std::unique_ptr<Ring> ring;
        std::optional<RecordTranslations> translations;  // none: they are ours
        uint32_t generation = 0;                         // whose pins go when it is empty; 0: it is ours
    };

    Capture(const Options& options, Consumer consumer);
    Result<> open_old_rings();
    Result<> open_own_ring();
    Result<> open_old_overflows();
    Result<> open_own_overflow();
    void forget_old_overflows();
    tcptrail_control& control();
    bool deliver(std::span<const std::byte> bytes, const std::optional<RecordTranslations>& translations);
    bool deliver_next();
    std::string restore_control(uint64_t before_ns, uint64_t now_ns);
    Result<std::string> restore_links(uint64_t before_ns, uint64_t now_ns);
    std::string restore_pins();
    void add_gap(uint64_t from_ns, uint64_t until_ns, std::string reason);
    Result<> adopt();
    const Ring& own_ring() const { return *sources_.back().ring; }

    Options options_;
    Consumer consumer_;
    bool is_held_ = false;
    std::unique_ptr<Handover> handover_;  // null: nothing is to outlive us, or it cannot
    std::string pin_problem_;
    std::string smaller_;
    std::unique_ptr<Programs> programs_;  // null before attach()
    std::deque<Source> sources_;        // in the order of reading; the last one is what the programs write to
    size_t reading_ = 0;                // the index of the one that is read
    std::optional<Overflow> overflow_;  // read when all rings are empty
    uint64_t lost_before_ = 0;
    std::vector<uint32_t> old_overflows_;  // whose pins go when it is empty
    std::optional<Predecessor> predecessor_;
    std::string run_id_;
    uint64_t beat_ns_ = 0;  // CLOCK_MONOTONIC, of the last heartbeat
    std::deque<Gap> gaps_;
    bool stood_still_ = false;  // since the last heartbeat
};

}  // namespace tcptrail::capture
