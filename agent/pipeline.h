// SPDX-License-Identifier: Apache-2.0
//
// The stages of the capture thread in their order: capture ▶ connections ▶ context ▶ encode ▶ sink.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/base/counter.h"
#include "agent/base/error.h"
#include "agent/capture/capture.h"
#include "agent/checkpoint.h"
#include "agent/config.h"
#include "agent/connections/connections.h"
#include "agent/connections/tally.h"
#include "agent/context/context.h"
#include "agent/context/host.h"
#include "agent/encode/event.h"

namespace tcptrail {

// Lifecycles that came to their end in the kernel since the run began, and what became of them:
// seen = told + lost + in_ring.
struct Account {
    uint64_t seen = 0;
    uint64_t told = 0;
    uint64_t ring_full = 0;
    uint64_t malformed = 0;
    uint64_t progress = 0;  // events of open connections besides; they do not pass the ring
    uint64_t in_ring = 0;   // neither told nor lost yet

    uint64_t lost() const { return ring_full + malformed; }
};

// Belongs to one thread.
class Pipeline {
public:
    struct Sink {
        // One of these two gets each event, in the order of sequence; it is valid only during the call.
        std::function<void(const v1::ConnectionEvent&)> event;
        std::function<void(const Message&)> message;
        // Each event before that, as the later stages know it, if anybody wants it; the same.
        std::function<void(const connections::Connection&, const context::Identity&)> told;
        // All that it got so far is to be kept from now on, with this. True: it is kept, and the kernel may
        // write over its records; false: it will be asked again, and only when the ring gets full they are
        // given up all the same.
        std::function<bool(const Checkpoint&)> keep;
        // What it keeps is there for the agent after this one: then tracing outlives us too (capture.pin).
        bool is_lasting = false;
        // Asked after keep(), where it is lasting: what of all that it got outlives this process by now.
        struct Kept {
            bool all = false;
            std::optional<Checkpoint> mark;  // the last that was committed, of any run
        };
        std::function<Kept()> kept;
        std::optional<Checkpoint> last;  // that it has kept, in this or an earlier process
        // It has in memory what an agent before in this process left, up to `last`: nothing was lost with
        // that.
        bool has_leftover = false;
    };

    static Result<std::unique_ptr<Pipeline>> start(const Config& config, Sink sink);

    // How many messages of this run waited in memory for the disk when the agent before was killed: an upper
    // bound. What was found before is not in it.
    uint64_t lost_with_predecessor() const { return lost_with_predecessor_; }
    // Of agents in this run.
    uint32_t starts() const { return base_.starts; }
    // Asks the sink again to keep what it got.
    void keep();
    // The sink ends, and so many messages that it had in memory are lost with it: they are counted. False:
    // nothing is lost, as the ring still has their records for the agent after this one. After stop().
    bool give_up(uint64_t messages);

    // Takes what is in the ring through all stages, but for no longer than `longest` and what some records
    // more take: signals, timers and whoever asks wait for it.
    enum class Drained : uint8_t {
        all,
        more,  // to be called again, soon
        held,  // the next event waits for names (context.wait_ms), and so do those behind it
    };
    Result<Drained> drain(std::chrono::nanoseconds longest = longest_drain);
    static constexpr std::chrono::milliseconds longest_drain{100};
    // Looks for ends that were missed.
    Result<> sweep();
    // Tells of the connections that have been open for connections.progress_interval_secs since they were
    // last told of; no more than some tenths of a second at a time. Drains as it goes; `pause` is called from
    // time to time, for what the sink has kept, and may answer false: enough. To be called every
    // progress_period.
    Result<> progress(const std::function<bool()>& pause);
    static constexpr std::chrono::milliseconds progress_period{250};
    // Detaches and drains: nothing comes after it. What is pinned goes on; what it sees, and where it sees
    // more than can be taken what was not, is in the ring for the agent after this one.
    Result<> stop();

    Result<Account> account() const;
    const capture::Capture& capture() const { return *capture_; }
    capture::Capture& capture() { return *capture_; }
    context::Context& context() { return context_; }
    const context::Context& context() const { return context_; }
    connections::Tally& tally() { return tally_; }
    const context::Host& host() const { return host_; }
    uint64_t last_sequence() const { return encoder_.last_sequence(); }
    // The sequence number of the next report, which the checkpoint counts too.
    uint64_t next_report() { return ++base_.reports; }
    Checkpoint checkpoint() const;

    // What the hooks are and what is missing, in one line.
    std::string describe() const;

private:
    Pipeline(const Config& config, Sink sink);
    bool process(const tcptrail_record& record);
    bool is_to_wait(const tcptrail_record& record) const;
    void go_on_from_predecessor();
    Checkpoint note();

    Sink sink_;
    connections::Options options_;
    uint32_t priority_boost_;
    uint64_t progress_told_ = 0;
    uint64_t next_walk_ns_ = 0;  // CLOCK_MONOTONIC
    connections::Tally tally_;
    context::Host host_;
    context::Context context_;
    encode::EventEncoder encoder_;
    connections::Kernel kernel_;
    std::unique_ptr<capture::Capture> capture_;
    uint64_t boot_to_unix_ = 0;  // as of this drain
    Checkpoint base_;            // what does not change with each event
    uint64_t lost_with_predecessor_ = 0;
    bool is_kept_ = true;    // all that the sink got
    bool may_wait_ = false;  // for names
};

}  // namespace tcptrail
