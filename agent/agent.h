// SPDX-License-Identifier: Apache-2.0
//
// The daemon: the capture thread's pipeline, the spool behind it, the transmit thread behind that.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/audit.h"
#include "agent/base/error.h"
#include "agent/base/event_loop.h"
#include "agent/base/log.h"
#include "agent/config.h"
#include "agent/encode/message.h"
#include "agent/encode/text.h"
#include "agent/losses.h"
#include "agent/outbox.h"
#include "agent/pipeline.h"
#include "agent/report.h"
#include "agent/serving.h"
#include "agent/spool/spool.h"
#include "agent/transmit/transmitter.h"

namespace tcptrail {

// What became of the configurations that the process was given.
struct Reloads {
    uint64_t configured_unix_nanos = 0;  // when that in force was read
    uint64_t failed = 0;                 // refused, or given up at once
};

// Runs in the thread that calls it, which becomes the capture thread.
class Agent {
public:
    // `format` is for standard output, where events go without kafka.brokers. `metrics` and `reloads`, which
    // are borrowed, go on from agent to agent, and so does `leftover`: what the one before could not store on
    // the disk.
    Agent(const Config& config, encode::TextFormat format, serve::ConnectionMetrics& metrics,
          Reloads& reloads, spool::Leftover& leftover);

    // Reads the configuration anew.
    using Load = std::function<Result<Config>()>;

    // Until SIGINT or SIGTERM, or until `load` has a configuration after a SIGHUP: that is returned, for
    // another agent. Where it has none this one goes on, and says why. What Kafka has not acknowledged at the
    // end stays in the spool's file; what the disk does not take is left to the agent that the configuration
    // is for, and lost where none follows: then it is counted, and logged.
    Result<std::optional<Config>> run(const Load& load);
    // Whether run() got so far that events were taken.
    bool has_started() const { return has_started_; }

private:
    Result<> run_loop(EventLoop& loop, const Load& load);
    void on_signal(int signal, const Load& load);
    void feed_watchdog();
    bool has_kafka() const { return !config_.kafka.brokers.empty(); }
    Result<> start();
    Result<> open_spool();
    Result<> start_delivery();
    Result<> listen(EventLoop& loop);
    void drain();
    void progress();
    Pipeline::Sink sink();
    bool keep(const Checkpoint& checkpoint);
    void heartbeat();
    void report(v1::ReportReason reason);
    v1::AgentReport account(v1::ReportReason reason);
    void look();
    void tell_losses(const v1::AgentReport& report);
    void log_capture_error(const Error& error);
    void watch_kafka();
    void watch_spool();
    void tell_replaced(const spool::SpoolStats& stats);
    void watch_api_server();
    void settle();
    void stop();
    uint64_t finish_spool();

    const Config& config_;
    Reloads& reloads_;
    Serving serving_;
    encode::TextWriter writer_;
    EventLoop* loop_ = nullptr;
    bool output_closed_ = false;
    bool has_started_ = false;
    bool has_drained_ = false;  // since the watchdog was fed last
    bool is_ending_ = false;    // by SIGINT or SIGTERM
    std::optional<Config> next_;
    bool drains_again_ = false;  // soon

    std::unique_ptr<spool::Spool> spool_;
    std::unique_ptr<transmit::Transmitter> transmitter_;
    std::unique_ptr<Pipeline> pipeline_;
    std::unique_ptr<Audit> audit_;
    std::unique_ptr<Reporter> reporter_;
    spool::Leftover& leftover_;
    bool has_leftover_ = false;  // of the agent before, in spool_
    Outbox outbox_;              // of this drain, not in the spool yet

    std::string kafka_problem_;           // as it was logged last
    uint64_t kafka_renewals_ = 0;         // the same
    std::string spool_problem_;           // the same
    std::string api_server_problem_;      // the same
    uint64_t spool_files_set_aside_ = 0;  // those that were told of
    bool spool_in_memory_ = false;
    LogLimiter kafka_changes_;
    LogLimiter spool_changes_;
    LogLimiter api_server_changes_;
    LogLimiter spool_errors_;
    LogLimiter capture_errors_;
    LogLimiter heartbeat_errors_;
    LogLimiter violations_;
    Losses losses_;
    LogLimiter losses_told_;
};

}  // namespace tcptrail
