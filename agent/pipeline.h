// SPDX-License-Identifier: Apache-2.0
//
// The stages of the capture thread in their order: capture ▶ connections ▶ context ▶ encode ▶ sink.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "agent/base/counter.h"
#include "agent/base/error.h"
#include "agent/capture/capture.h"
#include "agent/config.h"
#include "agent/connections/connections.h"
#include "agent/connections/tally.h"
#include "agent/context/context.h"
#include "agent/context/host.h"
#include "agent/encode/event.h"

namespace tcptrail {

// Lifecycles that came to their end in the kernel, and what became of them: seen = told + lost, exactly,
// once the capture is stopped and drained; before that the difference is in the ring.
struct Account {
    uint64_t seen = 0;
    uint64_t told = 0;
    uint64_t ring_full = 0;
    uint64_t malformed = 0;
    uint64_t progress = 0;  // events of open connections besides; they do not pass the ring

    uint64_t lost() const { return ring_full + malformed; }
};

// Belongs to one thread.
class Pipeline {
public:
    // Gets each event, in the order of sequence; it is valid only during the call.
    using Sink = std::function<void(const v1::ConnectionEvent&)>;

    static Result<std::unique_ptr<Pipeline>> start(const Config& config, Sink sink);

    // Takes what is in the ring through all stages. Returns the number of records.
    Result<uint64_t> drain();
    // Looks for ends that were missed.
    Result<> sweep();
    // Takes what is in the ring into memory, for a later drain(): where a long work must not stall it. True.
    Result<bool> take();
    // Tells of the connections that have been open for connections.progress_interval_secs since they were
    // last told of; no more than some tenths of a second at a time. Drains as it goes; `pause` is called from
    // time to time, for what the sink has kept, and may answer false: enough. To be called every
    // progress_period.
    Result<> progress(const std::function<bool()>& pause);
    static constexpr std::chrono::milliseconds progress_period{250};
    // Detaches and drains: nothing comes after it.
    Result<> stop();

    Result<Account> account() const;
    const capture::Capture& capture() const { return *capture_; }
    capture::Capture& capture() { return *capture_; }
    context::Context& context() { return context_; }
    connections::Tally& tally() { return tally_; }
    const context::Host& host() const { return host_; }
    size_t held() const { return backlog_.size(); }  // taken from the ring, not told yet
    uint64_t last_sequence() const { return encoder_.last_sequence(); }

    // What the hooks are and what is missing, in one line.
    std::string describe() const;

private:
    Pipeline(const Config& config, Sink sink);
    void process(const tcptrail_record& record);

    Sink sink_;
    connections::Options options_;
    uint64_t progress_told_ = 0;
    uint64_t next_walk_ns_ = 0;  // CLOCK_MONOTONIC
    connections::Tally tally_;
    context::Host host_;
    context::Context context_;
    encode::EventEncoder encoder_;
    connections::Kernel kernel_;
    std::unique_ptr<capture::Capture> capture_;
    uint64_t boot_to_unix_ = 0;  // as of this drain
    // Taken from the ring, not processed yet: a slow sink (JSON for a terminal) must not stall the ring.
    std::deque<tcptrail_record> backlog_;
};

}  // namespace tcptrail
