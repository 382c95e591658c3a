// SPDX-License-Identifier: Apache-2.0
#include "agent/agent.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "agent/base/heap.h"
#include "agent/base/service.h"
#include "agent/base/thread.h"
#include "agent/log_events.h"
#include "agent/transmit/client.h"

namespace tcptrail {

namespace {

constexpr auto maintenance_interval = std::chrono::milliseconds(500);
constexpr auto heartbeat_interval = std::chrono::seconds(1);
constexpr auto watch_interval = std::chrono::seconds(1);
constexpr auto shutdown_deadline = std::chrono::seconds(5);  // less than what Kubernetes and systemd grant
constexpr auto reload_deadline =
    std::chrono::seconds(1);  // the next agent, which comes at once, sends the rest
constexpr uint64_t error_interval_ns = 10'000'000'000;
constexpr uint64_t loss_interval_ns = 60'000'000'000;
constexpr uint64_t violation_interval_ns = 600'000'000'000;  // it stays, as a rule

std::string losses(std::initializer_list<std::pair<const char*, uint64_t>> reasons) {
    std::string text;
    uint64_t sum = 0;
    for (const auto& [reason, count] : reasons) {
        sum += count;
        if (count) text += (text.empty() ? "" : ", ") + std::string(reason) + " " + std::to_string(count);
    }
    return std::to_string(sum) + " lost" + (text.empty() ? "" : " (" + text + ")");
}

std::optional<Checkpoint> parse(const std::string& mark) {
    return Checkpoint::parse(std::as_bytes(std::span(mark)));
}

}  // namespace

Agent::Agent(const Config& config, encode::TextFormat format, serve::ConnectionMetrics& metrics,
             Reloads& reloads, spool::Leftover& leftover)
    : config_(config),
      reloads_(reloads),
      serving_(config.serve, metrics, [this] { return account(v1::REPORT_REASON_ASKED); }),
      writer_(format, stdout),
      leftover_(leftover),
      kafka_changes_(error_interval_ns),
      spool_changes_(error_interval_ns),
      api_server_changes_(error_interval_ns),
      spool_errors_(error_interval_ns),
      capture_errors_(error_interval_ns),
      heartbeat_errors_(error_interval_ns),
      violations_(violation_interval_ns),
      losses_told_(loss_interval_ns) {}

Result<std::optional<Config>> Agent::run(const Load& load) {
    share_one_heap();
    auto loop = EventLoop::create();
    if (!loop) return std::unexpected(std::move(loop.error()));
    loop_ = &*loop;
    if (auto ran = run_loop(*loop, load); !ran) {
        // What it has taken over is for the agent that follows in its place.
        transmitter_.reset();
        if (spool_ && !has_started_) leftover_ = spool_->finish();
        return std::unexpected(std::move(ran.error()));
    }
    return std::move(next_);
}

Result<> Agent::run_loop(EventLoop& loop, const Load& load) {
    // Before any thread begins: they inherit that signals are blocked.
    if (auto set = loop.on_signals({SIGINT, SIGTERM, SIGHUP}, [&](int signal) { on_signal(signal, load); });
        !set)
        return set;
    if (auto started = start(); !started) return started;
    trim_heap();  // the kernel's types are read once
    if (auto listening = listen(loop); !listening) return listening;
    serving_.begin(loop);
    if (const auto may = may_be_raised(config_.capture.priority_boost); !may)
        log_info(events::priority_not_raised,
                 "the thread that reads the ring comes no sooner than others (capture.priority_boost): " +
                     may.error().message + "; give it CAP_SYS_NICE or LimitNICE=-" +
                     std::to_string(config_.capture.priority_boost) + ", or set capture.priority_boost to 0");
    has_started_ = true;
    service::tell_ready(pipeline_->describe());
    auto result = loop.run();
    if (!next_) service::tell_stopping();
    serving_.end();
    stop();
    return result;
}

void Agent::on_signal(int signal, const Load& load) {
    if (signal != SIGHUP) {
        is_ending_ = true;
        next_.reset();
        loop_->stop();
        return;
    }
    if (is_ending_) return;
    auto loaded = load();
    if (!loaded) {
        ++reloads_.failed;
        const std::string told = "not reloaded, the configuration in force stays: " + loaded.error().message +
                                 "; mend it, then reload again";
        log_error(events::reload_refused, told);
        service::tell_status(told);
        return;
    }
    service::tell_reloading();
    service::tell_alive();  // for the time until the next agent feeds it
    log_info(events::reloading, "reloading the configuration");
    next_ = std::move(*loaded);
    loop_->stop();
}

Result<> Agent::start() {
    // The spool first: its lock keeps a second agent from tracing, and it knows how far an earlier one came.
    // Kafka last: the programs then know our connections to it.
    if (has_kafka())
        if (auto opened = open_spool(); !opened) return opened;
    auto pipeline = Pipeline::start(config_, sink());
    if (!pipeline) return std::unexpected(std::move(pipeline.error()));
    pipeline_ = std::move(*pipeline);
    if (has_kafka())
        if (auto started = start_delivery(); !started) return started;
    audit_ = std::make_unique<Audit>(*pipeline_, config_.context.proc);
    reporter_ = std::make_unique<Reporter>(*pipeline_, *audit_);
    log_info(events::tracing, pipeline_->describe(), {{"run_id", pipeline_->host().run_id}});
    for (const capture::Gap& gap : pipeline_->capture().gaps())
        log_error(events::tracing_gap, gap.reason);
    if (has_kafka()) {
        log_info(events::sending,
                 "sending to Kafka at " + config_.kafka.brokers + ", run " + pipeline_->host().run_id +
                     (pipeline_->starts() > 1
                          ? ", which goes on after event " + std::to_string(pipeline_->last_sequence())
                          : ""),
                 {{"brokers", config_.kafka.brokers}, {"run_id", pipeline_->host().run_id}});
        if (const uint64_t lost = pipeline_->lost_with_predecessor())
            log_error({"encode", events::events_lost},
                      std::to_string(lost) +
                          " events of this run lost (killed), or fewer: they were in memory, as the disk did "
                          "not take them, when the agent before was killed; mend the disk (spool.directory)",
                      {{"reason", "killed"}, {"count", lost}});
        report(v1::REPORT_REASON_START);
        return {};
    }
    if (serving_.has_metrics()) look();
    log_info(events::printing, "kafka.brokers is not set: printing to standard output");
    if (auto written = writer_.header(); !written) return written;
    return writer_.flush();
}

Pipeline::Sink Agent::sink() {
    Pipeline::Sink sink;
    if (serving_.has_metrics())
        sink.told = [this](const connections::Connection& connection, const context::Identity& identity) {
            serving_.add(connection, identity);
        };
    sink.keep = [this](const Checkpoint& checkpoint) { return keep(checkpoint); };
    if (!spool_) {
        sink.event = [this](const v1::ConnectionEvent& event) {
            if (!output_closed_ && !writer_.write(event)) output_closed_ = true;
        };
        return sink;
    }
    sink.message = [this](const Message& message) { outbox_.add(message); };
    sink.is_lasting = true;
    sink.kept = [this] { return Pipeline::Sink::Kept{spool_->outlives(), parse(spool_->committed_mark())}; };
    sink.has_leftover = has_leftover_;
    sink.last = has_leftover_ ? parse(spool_->newest_mark()) : parse(spool_->committed_mark());
    return sink;
}

Result<> Agent::open_spool() {
    auto spool = spool::Spool::open(config_.spool);
    if (!spool) return std::unexpected(std::move(spool.error()));
    spool_ = std::move(*spool);
    has_leftover_ = !leftover_.empty();
    if (has_leftover_) spool_->take_over(std::exchange(leftover_, {}));
    const auto stats = spool_->stats();
    if (stats.lost_before)
        log_error(
            {"spool", events::events_lost},
            fmt::format(
                "{} events and reports lost (damaged) while no agent ran: the file of the spool in {} was "
                "damaged, removed, or has lost what was written last; check the disk, and see tcptrail "
                "spool stat",
                stats.lost_before, config_.spool.directory),
            {{"reason", "damaged"}, {"count", stats.lost_before}});
    if (stats.frames_repaired)
        log_error(
            events::spool_log_repaired,
            fmt::format("the log of the spool in {} was damaged in {} places, and mended: check the disk",
                        config_.spool.directory, stats.frames_repaired),
            {{"directory", config_.spool.directory}, {"count", stats.frames_repaired}});
    tell_replaced(stats);
    if (stats.found)
        log_info(events::spool_found,
                 "the spool holds " + std::to_string(stats.found) + " events from before",
                 {{"count", stats.found}});
    return {};
}

Result<> Agent::start_delivery() {
    if (const auto warning = transmit::client_warning(config_.kafka))
        log_warning(events::kafka_client_old, *warning);
    auto reader = spool_->reader();
    if (!reader) return std::unexpected(std::move(reader.error()));
    auto transmitter = transmit::Transmitter::start(config_.kafka, std::move(*reader));
    if (!transmitter) return std::unexpected(std::move(transmitter.error()));
    transmitter_ = std::move(*transmitter);
    return {};
}

Result<> Agent::listen(EventLoop& loop) {
    auto result = loop.on_edge(pipeline_->capture().wake_fd(), [this] { drain(); });
    if (const int births = pipeline_->context().births_fd(); result && births >= 0)
        result = loop.on_readable(births, [this] { pipeline_->context().look_for_births(); });
    const auto every = [&](auto interval, EventLoop::Callback callback) {
        if (result) result = loop.every(interval, std::move(callback));
    };
    every(std::chrono::milliseconds(config_.capture.drain_interval_ms), [this] { drain(); });
    every(std::chrono::seconds(config_.capture.sweep_interval_secs), [this] {
        if (auto swept = pipeline_->sweep(); !swept) log_capture_error(swept.error());
    });
    every(Pipeline::progress_period, [this] { progress(); });
    every(heartbeat_interval, [this] { heartbeat(); });
    every(trim_interval, trim_heap);
    // Often enough that one time without a drain, whose timer is another one, does no harm.
    if (const auto limit = service::watchdog()) every(*limit / 4, [this] { feed_watchdog(); });
    if (pipeline_->context().cluster()) every(watch_interval, [this] { watch_api_server(); });
    // With Kafka the report looks.
    const auto report_interval = std::chrono::seconds(config_.report_interval_secs);
    if (!has_kafka()) {
        every(report_interval, [this] {
            if (serving_.has_metrics()) look();
            tell_losses(account(v1::REPORT_REASON_ASKED));
        });
        return result;
    }
    every(maintenance_interval, [this] { pipeline_->keep(); });
    every(watch_interval, [this] {
        watch_kafka();
        watch_spool();
    });
    every(report_interval, [this] { report(v1::REPORT_REASON_PERIODIC); });
    return result;
}

void Agent::drain() {
    const auto drained = pipeline_->drain();
    has_drained_ |= drained.has_value();
    if (!drained) {
        log_capture_error(drained.error());
    } else if (*drained == Pipeline::Drained::more && !std::exchange(drains_again_, true)) {
        loop_->soon([this] {
            drains_again_ = false;
            drain();
        });
    }
    if (output_closed_) loop_->stop();
}

// Only where records can be taken: an agent that lives and takes none is started anew.
void Agent::feed_watchdog() {
    if (std::exchange(has_drained_, false)) service::tell_alive();
}

void Agent::progress() {
    if (auto told = pipeline_->progress([this] { return !output_closed_; }); !told)
        log_capture_error(told.error());
    drain();
}

// The messages are the spool's from here on, also when the disk does not take them.
bool Agent::keep(const Checkpoint& checkpoint) {
    if (!spool_) {
        if (!output_closed_ && !writer_.flush()) output_closed_ = true;
        return true;
    }
    const auto bytes = checkpoint.as_bytes();
    const auto result =
        spool_->append(outbox_.messages(), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    outbox_.clear();
    // What the disk does not take, watch_spool() tells.
    if (!result && !spool_->stats().in_memory)
        log_error(spool_errors_, events::spool_failed,
                  result.error().message + "; check the disk, and see tcptrail spool verify",
                  {{"directory", config_.spool.directory}});
    // What Kafka or the file may have must never be told anew under the same numbers, between others: the
    // ring gives it up.
    return spool_->settled() || spool_->is_ahead_of_mark();
}

void Agent::heartbeat() {
    const auto problems = pipeline_->capture().heartbeat();
    std::string told;
    if (problems)
        for (const std::string& problem : *problems)
            told += (told.empty() ? "" : "; ") + problem;
    else
        told = problems.error().message;
    if (told.empty()) return;
    log_error(heartbeat_errors_, events::tracing_disturbed, told);
}

void Agent::look() {
    if (auto looked = audit_->look(); !looked) log_capture_error(looked.error());
}

void Agent::log_capture_error(const Error& error) {
    log_error(capture_errors_, events::capture_failed,
              "the kernel side cannot be read: " + error.message +
                  "; if this goes on, restart the agent, and report it with the output of tcptrail check");
}

void Agent::report(v1::ReportReason reason) {
    // After stop() nothing is counted any more.
    if (reason != v1::REPORT_REASON_STOP) look();
    const v1::AgentReport told = account(reason);
    outbox_.add(to_message(told));
    pipeline_->keep();
    tell_losses(told);
}

v1::AgentReport Agent::account(v1::ReportReason reason) {
    std::optional<Delivery> delivery;
    if (spool_) delivery = {outbox_.size(), spool_->stats(), transmitter_->status()};
    v1::AgentReport report = reporter_->report(reason, delivery);
    report.set_configured_unix_nanos(reloads_.configured_unix_nanos);
    report.set_reloads_failed(reloads_.failed);
    if (spool_) {
        report.set_spool_max_bytes(config_.spool.max_bytes);
        report.set_spool_memory_bytes(config_.spool.memory_bytes);
    }
    if (report.audit_violations_size() > 0)
        log_error(violations_, events::accounts_wrong,
                  fmt::format(
                      "the accounts do not fit, which is a fault of tcptrail: {}; report it with the output "
                      "of tcptrail status -o json",
                      fmt::join(report.audit_violations(), "; ")));
    return report;
}

// Each reason by itself, for who looks for one.
void Agent::tell_losses(const v1::AgentReport& report) {
    if (!losses_.has_untold(report) || !losses_told_.pass()) return;
    for (const Losses::Loss& loss : losses_.tell(report))
        log_error({loss.stage, events::events_lost}, loss.text,
                  {{"reason", loss.reason}, {"count", loss.count}});
}

// The file may be the checkpointer's at a moment; the last events are to be in it before nobody tries again.
void Agent::settle() {
    for (int i = 0; i < 20; ++i) {
        pipeline_->keep();
        if (spool_->settled() && spool_->idle()) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

// What was appended gets into the file now, or is left to the next agent in this process. Returns how many
// are lost as there is none: the report of the stop, which Kafka may have, still tells them as held.
uint64_t Agent::finish_spool() {
    spool::Leftover left = spool_->finish();
    if (left.empty()) return 0;
    if (next_ && !next_->kafka.brokers.empty()) {
        leftover_ = std::move(left);
        return 0;
    }
    // The file does not know what was dropped, so that no later account of the spool has it.
    const uint64_t lost = left.events();
    if (lost + left.dropped == 0 || !pipeline_->give_up(lost + left.dropped)) return 0;
    if (lost > 0)
        log_error(
            {"encode", events::events_lost},
            std::to_string(lost) +
                " events and reports lost (killed): they were in memory, as the disk did not take them, "
                "and Kafka had not acknowledged them when the agent ended; mend the disk "
                "(spool.directory), and see that Kafka can be reached before you stop an agent then",
            {{"reason", "killed"}, {"count", lost}});
    return lost;
}

void Agent::stop() {
    // Both look for ends that were missed.
    if (auto looked = spool_ ? audit_->look() : pipeline_->sweep(); !looked)
        log_capture_error(looked.error());
    if (auto stopped = pipeline_->stop(); !stopped) log_capture_error(stopped.error());
    if (spool_) {
        report(v1::REPORT_REASON_STOP);
        settle();
        transmitter_->stop(next_ ? reload_deadline : shutdown_deadline);
        settle();
        const uint64_t lost = finish_spool();
        const auto stats = spool_->stats();
        log_info(events::spool_closed,
                 "spool: since it was made " + std::to_string(stats.in) +
                     " events and reports = " + std::to_string(stats.released) + " acknowledged by Kafka + " +
                     std::to_string(stats.held - lost) + " kept for the next start + " +
                     losses({{"too_large", stats.too_large},
                             {"evicted", stats.evicted},
                             {"expired", stats.expired},
                             {"damaged", stats.damaged},
                             {"memory_full", stats.memory_full},
                             {"killed", lost}}),
                 {{"held", stats.held - lost}, {"released", stats.released}});
    } else if (!output_closed_) {
        (void)writer_.flush();  // nobody is left to tell
    }
    if (const auto account = pipeline_->account())
        log_info(events::tracing_ended,
                 "capture: " + std::to_string(account->seen) +
                     " connections seen = " + std::to_string(account->told) + " told + " +
                     losses({{"ring_full", account->ring_full}, {"malformed", account->malformed}}) +
                     (pipeline_->capture().is_pinned()
                          ? " + " + std::to_string(account->in_ring) +
                                " in the ring; tracing goes on (tcptrail detach ends it)"
                          : ""),
                 {{"seen", account->seen}, {"told", account->told}, {"in_ring", account->in_ring}});
}

}  // namespace tcptrail
