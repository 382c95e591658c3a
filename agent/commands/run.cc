// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "agent/agent.h"
#include "agent/base/log.h"
#include "agent/commands/command.h"

namespace tcptrail::commands {

namespace {

constexpr const char* examples = R"(
Examples:
  tcptrail run                                          print to standard output
  tcptrail run --config /etc/tcptrail/tcptrail.yaml
  tcptrail run --set kafka.brokers=broker-1:9092,broker-2:9092
  TCPTRAIL_KAFKA_BROKERS=broker:9092 tcptrail run

SIGINT or SIGTERM ends it; what Kafka has not acknowledged stays in the spool.)";

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

}  // namespace

void add_run(CLI::App& app, Action& action) {
    auto options = std::make_shared<ConfigOptions>();
    CLI::App* command =
        app.add_subcommand("run", "run the agent: to Kafka, or to standard output without kafka.brokers");
    command->footer(examples);
    add_config_options(*command, *options);
    command->callback([options, &action] {
        action = [options]() -> Result<ExitCode> {
            const auto config = load_config(*options);
            if (!config) return std::unexpected(config.error());
            init_logging(level_of(config->log_level), format_of(config->log_format));
            if (auto ran = Agent(*config, text_format(config->output_format)).run(); !ran)
                return std::unexpected(std::move(ran.error()));
            return ExitCode::ok;
        };
    });
}

}  // namespace tcptrail::commands
