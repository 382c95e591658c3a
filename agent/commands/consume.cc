// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <memory>

#include "agent/commands/command.h"
#include "agent/commands/filter.h"
#include "agent/commands/verify.h"
#include "agent/transmit/consumer.h"
#include "schemas/v1/agent.pb.h"
#include "schemas/v1/connection.pb.h"

namespace tcptrail::commands {

namespace {

constexpr const char* examples = R"(
Examples:
  tcptrail consume --brokers broker:9092                        what comes from now on
  tcptrail consume --brokers broker:9092 --from beginning --failed -o wide
  tcptrail consume --brokers broker:9092 --from beginning --verify
  tcptrail consume --brokers broker:9092 --topic tcptrail.agents -o jsonl     the agents' accounts of themselves

--verify reads what is there now, prints holes and duplicates of the sequence of each run instead of events
(with -o: these too, the result then on standard error), and exits with 1 when there are holes.
TLS and SASL come from the configuration (kafka.properties).)";

struct ConsumeOptions {
    ConfigOptions config;
    std::string brokers;
    std::string topic;
    std::string from = "end";
    uint64_t count = 0;
    bool verify = false;
    bool print = true;
    FilterOptions filter;
    encode::TextFormat format = encode::TextFormat::table;
};

std::atomic<bool> interrupted = false;

class Consume {
public:
    Consume(const ConsumeOptions& options, Filter filter, bool head_may_be_missing)
        : options_(options),
          filter_(std::move(filter)),
          writer_(options.format, stdout),
          verifier_(head_may_be_missing) {}

    Result<ExitCode> run(transmit::Consumer& consumer);

private:
    bool on_record(const transmit::Record& record);
    bool on_event(const transmit::Record& record);
    bool on_report(const transmit::Record& record);
    bool undecodable(const transmit::Record& record, const char* message);
    bool matched(const Result<>& written);

    const ConsumeOptions& options_;
    Filter filter_;
    encode::TextWriter writer_;
    SequenceVerifier verifier_;
    v1::ConnectionEvent event_;
    v1::AgentReport report_;
    uint64_t matched_ = 0;
    uint64_t undecodable_ = 0;
    bool output_closed_ = false;
};

// An AgentReport says so in its header; a record without one is taken for a ConnectionEvent.
bool is_report(const transmit::Record& record) {
    return std::ranges::any_of(record.headers, [](const auto& header) {
        return header.first == "content-type" && header.second.ends_with("AgentReport");
    });
}

bool Consume::on_record(const transmit::Record& record) {
    return is_report(record) ? on_report(record) : on_event(record);
}

bool Consume::on_report(const transmit::Record& record) {
    if (!report_.ParseFromArray(record.value.data(), static_cast<int>(record.value.size())))
        return undecodable(record, "AgentReport");
    verifier_.add(report_.run_id(), report_.sequence(), record.partition);
    return matched(options_.print ? writer_.write(report_) : Result<>());
}

bool Consume::on_event(const transmit::Record& record) {
    if (!event_.ParseFromArray(record.value.data(), static_cast<int>(record.value.size())))
        return undecodable(record, "ConnectionEvent");
    verifier_.add(event_.run_id(), event_.sequence(), record.partition);
    if (!filter_.matches(event_)) return true;
    return matched(options_.print ? writer_.write(event_) : Result<>());
}

bool Consume::undecodable(const transmit::Record& record, const char* message) {
    ++undecodable_;
    fprintf(stderr, "tcptrail: partition %d, offset %lld: no %s\n", record.partition,
            static_cast<long long>(record.offset), message);
    return true;
}

// Whether to go on.
bool Consume::matched(const Result<>& written) {
    ++matched_;
    // Unbuffered where somebody may be waiting for the next event; --verify has an end.
    if (!written || (options_.print && !options_.verify && !writer_.flush())) output_closed_ = true;
    return !output_closed_ && !(options_.count && matched_ >= options_.count);
}

Result<ExitCode> Consume::run(transmit::Consumer& consumer) {
    if (options_.print && (!writer_.header() || !writer_.flush())) return ExitCode::ok;
    auto ran =
        consumer.run([this](const transmit::Record& record) { return on_record(record); }, interrupted);
    if (!ran) return std::unexpected(std::move(ran.error()));
    if (!output_closed_) (void)writer_.flush();
    if (undecodable_)
        fprintf(stderr, "tcptrail: %llu records could not be decoded\n",
                static_cast<unsigned long long>(undecodable_));
    if (!options_.verify) return ExitCode::ok;
    // Beside events it is no event.
    std::FILE* const out = options_.print ? stderr : stdout;
    fprintf(out, "matched: %llu events\n", static_cast<unsigned long long>(matched_));
    verifier_.print(out);
    return verifier_.has_holes() || undecodable_ ? ExitCode::failure : ExitCode::ok;
}

Result<ExitCode> consume(const ConsumeOptions& options) {
    ConfigOptions config_options = options.config;
    if (!options.brokers.empty()) config_options.settings.push_back("kafka.brokers=" + options.brokers);
    const auto config = load_config(config_options);
    if (!config) return std::unexpected(config.error());
    if (config->kafka.brokers.empty())
        return fail("no brokers: give --brokers or kafka.brokers", ExitCode::usage);
    auto filter = Filter::make(options.filter);
    if (!filter) return std::unexpected(std::move(filter.error()));

    transmit::Consumer::Settings settings;
    settings.topic =
        options.topic.empty() ? config->kafka.topics[static_cast<int>(Topic::connections)] : options.topic;
    settings.from_beginning = options.from == "beginning";
    settings.to_end = options.verify && settings.from_beginning;
    struct sigaction action{};
    action.sa_handler = [](int) { interrupted = true; };
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    auto consumer = transmit::Consumer::open(config->kafka, settings);
    if (!consumer) return std::unexpected(std::move(consumer.error()));

    bool head_may_be_missing = !settings.from_beginning;
    for (const auto& partition : (*consumer)->partitions()) {
        if (!settings.from_beginning || !partition.low) continue;
        head_may_be_missing = true;
        if (options.verify)
            fprintf(stderr,
                    "tcptrail: partition %d begins at offset %lld: what was before is no longer kept, and "
                    "not verified\n",
                    partition.id, static_cast<long long>(partition.low));
    }
    return Consume(options, std::move(*filter), head_may_be_missing).run(**consumer);
}

}  // namespace

void add_consume(CLI::App& app, Action& action) {
    auto options = std::make_shared<ConsumeOptions>();
    CLI::App* command = app.add_subcommand("consume", "read the stream of connections back from Kafka");
    command->footer(examples);
    command->add_option("--brokers", options->brokers, "brokers to ask first; wins over kafka.brokers")
        ->type_name("HOST:PORT,…");
    command->add_option("--topic", options->topic, "topic (default: kafka.topics.connections)")
        ->type_name("NAME");
    command->add_option("--from", options->from, "where to begin")
        ->type_name("beginning|end")
        ->check(CLI::IsMember({"beginning", "end"}).description(""))
        ->capture_default_str();
    command->add_option("--count", options->count, "end after this many that match")
        ->type_name("N")
        ->check(CLI::PositiveNumber.description(""));
    command->add_flag("--verify", options->verify,
                      "report holes and duplicates of the sequence; exit status 1 on holes");
    add_output_option(*command, options->format);
    add_filter_options(*command, options->filter);
    add_config_options(*command, options->config);
    command->callback([command, options, &action] {
        options->print = !options->verify || command->count("--output") > 0;
        action = [options] { return consume(*options); };
    });
}

}  // namespace tcptrail::commands
