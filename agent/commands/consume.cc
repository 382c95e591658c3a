// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>

#include "agent/base/clock.h"
#include "agent/commands/command.h"
#include "agent/commands/evidence.h"
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
(with -o: these too, the result then on standard error), and exits with 1 when there are holes. The agents' reports
(kafka.topics.agents) tell it how far each run goes. What is missing may be on its way: it is waited for (--wait).
With --from end it judges from now on, until you interrupt it.
TLS and SASL come from the configuration (kafka.properties).)";

struct ConsumeOptions {
    ConfigOptions config;
    std::string brokers;
    std::string topic;
    std::string from = "end";
    uint64_t count = 0;
    bool verify = false;
    uint32_t wait_secs = 5;
    bool print = true;
    FilterOptions filter;
    encode::TextFormat format = encode::TextFormat::table;
};

using transmit::Consumer;

// The second time also the waiting ends.
std::atomic<bool> interrupted = false, interrupted_twice = false;

// How far the clocks of two hosts may be apart where reading begins in the middle.
constexpr uint64_t clocks_apart_nanos = 10ull * 1'000'000'000;

// How often is looked whether something is still missing.
constexpr std::chrono::milliseconds look_interval{200};

class Consume {
public:
    Consume(const ConsumeOptions& options, Filter filter, std::optional<uint64_t> complete_since,
            RunAccounts accounts)
        : options_(options),
          filter_(std::move(filter)),
          writer_(options.format, stdout),
          complete_since_(complete_since),
          verifier_(complete_since),
          accounts_(std::move(accounts)) {}

    // Reads from `consumer`, and, where it has an end and something is missing there, beyond it.
    Result<ExitCode> run(Consumer& consumer, const transmit::Options& kafka,
                         const Consumer::Settings& settings);

private:
    void expect_what_reports_tell();
    Result<> wait_for_missing(Consumer& consumer);
    ExitCode verdict(bool whole);
    bool on_record(const transmit::Record& record);
    bool on_event(const transmit::Record& record);
    bool on_report(const transmit::Record& record);
    bool undecodable(const transmit::Record& record, const char* message);
    bool matched(const Result<>& written);

    const ConsumeOptions& options_;
    Filter filter_;
    encode::TextWriter writer_;
    std::optional<uint64_t> complete_since_;
    SequenceVerifier verifier_;
    RunAccounts accounts_;
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
    verifier_.add(report_.run_id(), report_.sequence(), report_.emitted_unix_nanos());
    return matched(options_.print ? writer_.write(report_) : Result<>());
}

bool Consume::on_event(const transmit::Record& record) {
    if (!event_.ParseFromArray(record.value.data(), static_cast<int>(record.value.size())))
        return undecodable(record, "ConnectionEvent");
    verifier_.add(event_.run_id(), event_.sequence(), event_.emitted_unix_nanos());
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

Result<ExitCode> Consume::run(Consumer& consumer, const transmit::Options& kafka,
                              const Consumer::Settings& settings) {
    if (options_.print && (!writer_.header() || !writer_.flush())) return ExitCode::ok;
    auto ran =
        consumer.run([this](const transmit::Record& record) { return on_record(record); }, interrupted);
    if (!ran) return std::unexpected(std::move(ran.error()));
    const bool whole = settings.to_end ? *ran == Consumer::Ending::reached_end : !output_closed_;
    if (options_.verify && whole) {
        expect_what_reports_tell();
        verifier_.judge_up_to_here();
        Result<> waited;
        if (!settings.to_end) {
            if (*ran == Consumer::Ending::stopped) waited = wait_for_missing(consumer);
        } else if (verifier_.has_holes() && options_.wait_secs > 0) {
            Consumer::Settings beyond{.topic = settings.topic};
            for (const Consumer::Partition& partition : consumer.partitions())
                beyond.from[partition.id] = partition.high;
            auto rest = Consumer::open(kafka, beyond);
            if (!rest) return std::unexpected(std::move(rest.error()));
            waited = wait_for_missing(**rest);
        }
        if (!waited) return std::unexpected(std::move(waited.error()));
    }
    if (!output_closed_) (void)writer_.flush();
    if (undecodable_)
        fprintf(stderr, "tcptrail: %llu records could not be decoded\n",
                static_cast<unsigned long long>(undecodable_));
    return options_.verify ? verdict(whole) : ExitCode::ok;
}

void Consume::expect_what_reports_tell() {
    for (const auto& [run_id, account] : accounts_.runs()) {
        // Of one that retention has removed nothing need be here. Of a topic that the user names we do not
        // know that these agents write to it.
        const bool is_young = !complete_since_ || account.began_unix_nanos.value_or(0) > *complete_since_;
        if (!verifier_.knows(run_id) && (!options_.topic.empty() || !is_young)) continue;
        verifier_.expect_last(run_id, account.last_sequence);
        if (account.began_unix_nanos) verifier_.set_beginning(run_id, *account.began_unix_nanos);
    }
}

Result<> Consume::wait_for_missing(Consumer& consumer) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(options_.wait_secs);
    while (verifier_.has_holes() && !interrupted_twice) {
        const auto now = std::chrono::steady_clock::now();
        if (now >= until) break;
        auto ran = consumer.run([this](const transmit::Record& record) { return on_record(record); },
                                interrupted_twice, std::min(until, now + look_interval));
        if (!ran) return std::unexpected(std::move(ran.error()));
        if (*ran == Consumer::Ending::taker) break;
    }
    return {};
}

ExitCode Consume::verdict(bool whole) {
    // Beside events it is no event.
    std::FILE* const out = options_.print ? stderr : stdout;
    const uint64_t now = unix_nanos();
    size_t elsewhere = 0;
    for (const auto& [run_id, account] : accounts_.runs()) {
        verifier_.explain(run_id, explanation(account, now));
        if (!verifier_.knows(run_id) && account.last_sequence > 0) elsewhere++;
    }
    fprintf(out, "matched: %llu events\n", static_cast<unsigned long long>(matched_));
    verifier_.print(out);
    if (elsewhere > 0)
        fprintf(stderr, "tcptrail: of %zu more runs with reports, no event is here\n", elsewhere);
    if (!whole) fputs("tcptrail: not read to the end: what was not read was not verified\n", stderr);
    return verifier_.has_holes() || undecodable_ || !whole ? ExitCode::failure : ExitCode::ok;
}

// The accounts of the agents that wrote to `topic`, where they can be read.
RunAccounts accounts_for(const transmit::Options& kafka, const std::string& topic) {
    const std::string& reports = kafka.topics[static_cast<int>(Topic::agents)];
    if (topic == reports) return {};
    auto accounts = read_accounts(kafka, reports, interrupted);
    if (accounts) return std::move(*accounts);
    fprintf(stderr, "tcptrail: without the agents' reports the end of a run is not verified: %s\n",
            accounts.error().message.c_str());
    return {};
}

Result<ExitCode> consume(const ConsumeOptions& options) {
    ConfigOptions config_options = options.config;
    if (!options.brokers.empty()) config_options.settings.push_back("kafka.brokers=" + options.brokers);
    const auto config = load_config(config_options);
    if (!config) return std::unexpected(config.error());
    const transmit::Options& kafka = config->kafka;
    if (kafka.brokers.empty()) return fail("no brokers: give --brokers or kafka.brokers", ExitCode::usage);
    auto filter = Filter::make(options.filter);
    if (!filter) return std::unexpected(std::move(filter.error()));

    Consumer::Settings settings;
    settings.topic =
        options.topic.empty() ? kafka.topics[static_cast<int>(Topic::connections)] : options.topic;
    settings.from_beginning = options.from == "beginning";
    settings.to_end = options.verify && settings.from_beginning;
    struct sigaction action{};
    action.sa_handler = [](int) { (interrupted ? interrupted_twice : interrupted) = true; };
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);

    // Before the end of the events is noted, so that what the reports tell of is there, or on its way.
    RunAccounts accounts;
    if (settings.to_end) accounts = accounts_for(kafka, settings.topic);
    auto consumer = Consumer::open(kafka, settings);
    if (!consumer) return std::unexpected(std::move(consumer.error()));
    if (!options.verify) return Consume(options, std::move(*filter), {}, {}).run(**consumer, kafka, settings);

    std::optional<uint64_t> since = unix_nanos() + clocks_apart_nanos;
    if (settings.from_beginning) {
        for (const auto& partition : (*consumer)->partitions())
            if (partition.low > 0)
                fprintf(
                    stderr,
                    "tcptrail: partition %d begins at offset %lld: what was before is no longer kept, and "
                    "not verified\n",
                    partition.id, static_cast<long long>(partition.low));
        auto found = complete_since(kafka, settings.topic, (*consumer)->partitions(), interrupted);
        if (!found) return std::unexpected(std::move(found.error()));
        since = *found;
    }
    return Consume(options, std::move(*filter), since, std::move(accounts)).run(**consumer, kafka, settings);
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
    command->add_option("--wait", options->wait_secs, "how long --verify waits for what is missing")
        ->type_name("SECS")
        ->check(CLI::Range(0, 86400).description(""))
        ->capture_default_str();
    add_output_option(*command, options->format);
    add_filter_options(*command, options->filter);
    add_config_options(*command, options->config);
    command->callback([command, options, &action] {
        options->print = !options->verify || command->count("--output") > 0;
        action = [options] { return consume(*options); };
    });
}

}  // namespace tcptrail::commands
