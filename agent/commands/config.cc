// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "agent/commands/command.h"
#include "agent/config_warnings.h"
#include "agent/transmit/client.h"

namespace tcptrail::commands {

namespace {

constexpr const char* examples = R"(
Examples:
  tcptrail config check --config /etc/tcptrail/tcptrail.yaml
  tcptrail config show --set capture.ring_bytes=16MiB
  TCPTRAIL_KAFKA_BROKERS=broker:9092 tcptrail config show
  tcptrail config keys)";

void add_action(CLI::App& app, const char* name, const char* description, Action& action,
                Result<ExitCode> (*run)(const ConfigOptions&)) {
    auto options = std::make_shared<ConfigOptions>();
    CLI::App* command = app.add_subcommand(name, description);
    command->footer(examples);
    add_config_options(*command, *options);
    command->callback([options, run, &action] { action = [options, run] { return run(*options); }; });
}

Result<ExitCode> check(const ConfigOptions& options) {
    const auto config = load_config(options);
    if (!config) return std::unexpected(config.error());
    if (auto client = transmit::check_client(config->kafka); !client) return std::unexpected(client.error());
    if (const auto warning = transmit::client_warning(config->kafka))
        fprintf(stderr, "tcptrail: warning: kafka: %s\n", warning->c_str());
    for (const std::string& warning : config_warnings(*config, config_sources(options).file))
        fprintf(stderr, "tcptrail: warning: %s\n", warning.c_str());
    printf("The configuration is good.\n");
    return ExitCode::ok;
}

Result<ExitCode> show(const ConfigOptions& options) {
    const auto config = load_config(options, false);
    if (!config) return std::unexpected(config.error());
    printf("%s", show_config(*config).c_str());
    return ExitCode::ok;
}

}  // namespace

void add_config(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("config", "check or show the configuration");
    command->footer(examples);
    command->require_subcommand(1);
    add_action(*command, "check",
               "find mistakes before they stop the agent; exit status 78, or 66 for a file that is missing",
               action, check);
    add_action(*command, "show", "the configuration in force, secrets hidden", action, show);
    command->add_subcommand("keys", "every key: type, default, what it does")->callback([&action] {
        action = []() -> Result<ExitCode> {
            printf("%s", describe_config().c_str());
            return ExitCode::ok;
        };
    });
}

}  // namespace tcptrail::commands
