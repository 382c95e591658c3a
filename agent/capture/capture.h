// SPDX-License-Identifier: Apache-2.0
//
// The first stage: from the kernel to decoded records.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/counter.h"
#include "agent/base/error.h"
#include "agent/capture/counts.h"
#include "agent/capture/hooks.h"
#include "agent/capture/iterator.h"
#include "agent/capture/options.h"
#include "bpf/abi/bind.h"
#include "bpf/abi/listener.h"
#include "bpf/abi/record.h"
#include "bpf/abi/walk.h"

struct ring_buffer;

namespace tcptrail::capture {

class Programs;

// Owned and used by the capture thread; the counters may be read from any.
class Capture {
public:
    using Consumer = std::function<void(const tcptrail_record&)>;

    // Loads and attaches the programs, then scans for what is open already. Each record goes to
    // `consumer`, from within drain(); it is valid only during the call.
    static Result<std::unique_ptr<Capture>> start(const Options& options, Consumer consumer);
    ~Capture();
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;

    // Becomes readable when the ring is filling up; between, drain on a timer.
    int wake_fd() const;
    // Takes all that is in the ring. Returns the number of records.
    Result<uint64_t> drain();
    // Detaches from the kernel: after one more drain() the accounts are final.
    void stop();
    // Looks for births whose socket is gone; what it finds comes with the next drain().
    // `consumer`, where there is one, gets what is open.
    using OpenConsumer = std::function<void(const tcptrail_open&)>;
    Result<> sweep(const OpenConsumer& consumer = nullptr, const BetweenReads& between = nullptr);
    // The connections that are open and of which nothing was told for so long, as records of progress; each
    // is then told. Between two reads of about sixty, when what was given has to be dealt with, `between`
    // drains: so the end of a connection comes after its progress. Where it ends the walk, the next one tells
    // the rest.
    Result<> progress(std::chrono::nanoseconds untold, const Consumer& consumer, const BetweenReads& between);
    using ListenerConsumer = std::function<void(const tcptrail_listener_record&)>;
    Result<> listeners(const ListenerConsumer& consumer);
    // Each process with its network namespace.
    Result<std::vector<tcptrail_task_netns>> tasks();

    Result<KernelCounts> counts() const;
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
    uint64_t ring_bytes() const { return options_.ring_bytes; }
    uint32_t hz() const;  // of jiffies; 0: not known
    const std::vector<HookStatus>& hooks() const;
    const std::vector<std::string>& reset_reasons() const;

    Counter received;   // records taken from the ring
    Counter malformed;  // of these, refused by decode()
    Counter walked;     // records of open connections
    Counter walked_malformed;

private:
    struct RingFree {
        void operator()(ring_buffer* ring) const;
    };

    Capture(const Options& options, Consumer consumer);
    static int on_record(void* self, void* data, size_t size);

    Options options_;
    Consumer consumer_;
    std::unique_ptr<Programs> programs_;
    std::unique_ptr<ring_buffer, RingFree> ring_;
};

}  // namespace tcptrail::capture
