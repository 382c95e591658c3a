// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdio>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <utility>

#include "agent/base/event_loop.h"
#include "agent/base/heap.h"
#include "agent/commands/command.h"
#include "agent/commands/filter.h"
#include "agent/pipeline.h"

namespace tcptrail::commands {

namespace {

constexpr const char* examples = R"(
Examples:
  tcptrail observe                                   all connections of this host, as they end
  tcptrail observe --failed                          only attempts that were not established
  tcptrail observe --process 'nginx*' --port 443     one program, one port
  tcptrail observe --address 10.0.0.0/8 -o wide      with more columns
  tcptrail observe -o jsonl --duration 10 | jq .     for ten seconds, as JSON

Needs CAP_BPF and CAP_PERFMON.)";

struct ObserveOptions {
    ConfigOptions config;
    FilterOptions filter;
    encode::TextFormat format = encode::TextFormat::table;
    double duration_secs = 0;  // 0: until interrupted
    uint64_t count = 0;        // 0: any number
};

class Observe {
public:
    Observe(const ObserveOptions& options, Filter filter)
        : options_(options), filter_(std::move(filter)), writer_(options.format, stdout) {}

    Result<ExitCode> run(const Config& config);

private:
    bool is_full() const { return options_.count && shown_ >= options_.count; }
    void show(const v1::ConnectionEvent& event);
    void keep(Result<> result);
    void written(Result<> result);
    void drain(EventLoop& loop);
    Result<> summarize();

    const ObserveOptions& options_;
    Filter filter_;
    encode::TextWriter writer_;
    std::unique_ptr<Pipeline> pipeline_;
    uint64_t shown_ = 0;
    bool drains_again_ = false;   // soon
    bool output_closed_ = false;  // we stop; no error where the reader of a pipe is gone
    Result<> failure_;            // the first
};

void Observe::show(const v1::ConnectionEvent& event) {
    if (is_full() || output_closed_ || !filter_.matches(event)) return;
    written(writer_.write(event));
    if (!output_closed_) ++shown_;
}

void Observe::keep(Result<> result) {
    if (!result && failure_) failure_ = std::move(result);
}

void Observe::written(Result<> result) {
    if (result || output_closed_) return;
    output_closed_ = true;
    if (!writer_.reader_is_gone()) keep(std::move(result));
}

void Observe::drain(EventLoop& loop) {
    const auto drained = pipeline_->drain();
    if (!drained) {
        keep(std::unexpected(drained.error()));
    } else if (*drained == Pipeline::Drained::more && !std::exchange(drains_again_, true)) {
        loop.soon([this, &loop] {
            drains_again_ = false;
            drain(loop);
        });
    }
    if (is_full() || output_closed_ || !failure_) loop.stop();
}

Result<ExitCode> Observe::run(const Config& config) {
    share_one_heap();
    auto loop = EventLoop::create();
    if (!loop) return std::unexpected(std::move(loop.error()));
    keep(loop->on_signals({SIGINT, SIGTERM}, [&](int) { loop->stop(); }));
    Pipeline::Sink sink;
    sink.event = [this](const v1::ConnectionEvent& event) { show(event); };
    sink.keep = [this](const Checkpoint&) {
        written(writer_.flush());
        return true;
    };
    auto pipeline = Pipeline::start(config, std::move(sink));
    if (!pipeline) return std::unexpected(std::move(pipeline.error()));
    pipeline_ = std::move(*pipeline);
    trim_heap();
    fprintf(stderr, "tcptrail: %s\n", pipeline_->describe().c_str());

    written(writer_.header());
    written(writer_.flush());
    keep(loop->on_edge(pipeline_->capture().wake_fd(), [&] { drain(*loop); }));
    if (const int births = pipeline_->context().births_fd(); births >= 0)
        keep(loop->on_readable(births, [this] { pipeline_->context().look_for_births(); }));
    keep(loop->every(std::chrono::milliseconds(config.capture.drain_interval_ms), [&] { drain(*loop); }));
    keep(loop->every(std::chrono::seconds(config.capture.sweep_interval_secs),
                     [&] { keep(pipeline_->sweep()); }));
    keep(loop->every(Pipeline::progress_period, [&] {
        keep(pipeline_->progress([this] { return !is_full() && !output_closed_; }));
        drain(*loop);
    }));
    keep(loop->every(trim_interval, trim_heap));
    if (options_.duration_secs > 0)
        keep(loop->every(std::chrono::milliseconds(static_cast<int64_t>(options_.duration_secs * 1000)),
                         [&] { loop->stop(); }));
    if (failure_) keep(loop->run());
    keep(pipeline_->sweep());
    keep(pipeline_->stop());
    written(writer_.flush());
    keep(summarize());
    if (!failure_) return std::unexpected(std::move(failure_.error()));
    return ExitCode::ok;
}

Result<> Observe::summarize() {
    const auto account = pipeline_->account();
    if (!account) return std::unexpected(account.error());
    const std::string line = account_line(
        account->seen, account->told, {{"ring_full", account->ring_full}, {"malformed", account->malformed}});
    fprintf(stderr, "tcptrail: %s; progress events %llu; shown %llu\n", line.c_str(),
            static_cast<unsigned long long>(account->progress), static_cast<unsigned long long>(shown_));
    return {};
}

}  // namespace

void add_observe(CLI::App& app, Action& action) {
    auto options = std::make_shared<ObserveOptions>();
    CLI::App* command = app.add_subcommand("observe", "show the connections of this host as they end");
    command->footer(examples);
    add_output_option(*command, options->format);
    command->add_option("--duration", options->duration_secs, "end after this many seconds")
        ->type_name("SECS")
        ->check(CLI::Range(0.001, 1e9).description(""));
    command->add_option("--count", options->count, "end after showing this many")
        ->type_name("N")
        ->check(CLI::PositiveNumber.description(""));
    add_filter_options(*command, options->filter);
    add_config_options(*command, options->config);
    command->callback([options, &action] {
        action = [options]() -> Result<ExitCode> {
            auto config = load_config(options->config, false);
            if (!config) return std::unexpected(std::move(config.error()));
            auto filter = Filter::make(options->filter);
            if (!filter) return std::unexpected(std::move(filter.error()));
            return Observe(*options, std::move(*filter)).run(*config);
        };
    });
}

}  // namespace tcptrail::commands
