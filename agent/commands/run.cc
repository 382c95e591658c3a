// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <utility>

#include "agent/agent.h"
#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/commands/command.h"
#include "agent/config_warnings.h"
#include "agent/log_events.h"
#include "agent/serve/connection_metrics.h"

namespace tcptrail::commands {

namespace {

constexpr const char* examples = R"(
Examples:
  tcptrail run                                          print to standard output
  tcptrail run --config /etc/tcptrail/tcptrail.yaml
  tcptrail run --set kafka.brokers=broker-1:9092,broker-2:9092
  TCPTRAIL_KAFKA_BROKERS=broker:9092 tcptrail run

SIGINT or SIGTERM ends it; what Kafka has not acknowledged stays in the spool, and what the disk does not take
is lost then, as the log says. SIGHUP takes up the configuration as it is then; where that has a mistake the
one in force stays, and the log says why.)";

logging::Level level_of(LogLevel level) {
    switch (level) {
        case LogLevel::debug:
            return logging::Level::debug;
        case LogLevel::warning:
            return logging::Level::warning;
        case LogLevel::error:
            return logging::Level::error;
        case LogLevel::info:
            break;
    }
    return logging::Level::info;
}

logging::Format format_of(LogFormat format) {
    switch (format) {
        case LogFormat::text:
            return logging::Format::text;
        case LogFormat::json:
            return logging::Format::json;
        case LogFormat::automatic:
            break;
    }
    return logging::Format::automatic;
}

struct Ended {
    Result<std::optional<Config>> result;
    bool had_started;
};

Ended run_agent(const Config& config, const std::string& file, const Agent::Load& load,
                serve::ConnectionMetrics& metrics, Reloads& reloads, spool::Leftover& leftover) {
    init_logging(level_of(config.log_level), format_of(config.log_format));
    for (const std::string& warning : config_warnings(config, file))
        log_warning(events::configuration_doubtful, warning);
    metrics.reconfigure(config.serve.metrics);
    Agent agent(config, text_format(config.output_format), metrics, reloads, leftover);
    auto result = agent.run(load);
    return {std::move(result), agent.has_started()};
}

// One agent after the other in this process, the next one with the configuration that SIGHUP brought. What is
// pinned goes on between them, as between two processes.
Result<ExitCode> run(const ConfigOptions& options) {
    auto config = load_config(options);
    if (!config) return std::unexpected(std::move(config.error()));
    serve::ConnectionMetrics metrics(config->serve.metrics);
    Reloads reloads{.configured_unix_nanos = unix_nanos()};
    spool::Leftover leftover;      // that no disk takes
    std::optional<Config> before;  // to go back to
    uint64_t before_configured = 0;
    for (;;) {
        Ended ended = run_agent(
            *config, config_sources(options).file, [&] { return load_config(options); }, metrics, reloads,
            leftover);
        if (!ended.result) {
            if (ended.had_started || !before) return std::unexpected(std::move(ended.result.error()));
            log_error(events::reload_reverted,
                      "the new configuration does not work, the one before it is in force again: " +
                          ended.result.error().message + "; mend it, then reload again");
            config = std::move(*std::exchange(before, std::nullopt));
            reloads.configured_unix_nanos = before_configured;
            ++reloads.failed;
        } else if (*ended.result) {
            before = std::exchange(*config, std::move(**ended.result));
            before_configured = std::exchange(reloads.configured_unix_nanos, unix_nanos());
        } else {
            return ExitCode::ok;
        }
    }
}

}  // namespace

void add_run(CLI::App& app, Action& action) {
    auto options = std::make_shared<ConfigOptions>();
    CLI::App* command =
        app.add_subcommand("run", "run the agent: to Kafka, or to standard output without kafka.brokers");
    command->footer(examples);
    add_config_options(*command, *options);
    command->callback([options, &action] {
        action = [options]() -> Result<ExitCode> {
            const auto ended = run(*options);
            if (ended) return ended;
            const auto status = static_cast<unsigned>(ended.error().code);
            log_last_error(events::failed, ended.error().message, {{"exit_status", status}});
            return ended.error().code;
        };
    });
}

}  // namespace tcptrail::commands
