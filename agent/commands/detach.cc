// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "agent/capture/detach.h"
#include "agent/commands/command.h"

namespace tcptrail::commands {

namespace {

constexpr const char* examples = R"(
Examples:
  tcptrail detach
  tcptrail detach --config /etc/tcptrail/tcptrail.yaml

Stop the agent first. What it has sent to the spool stays there. Needs root.)";

Result<ExitCode> detach(const ConfigOptions& options) {
    const auto config = load_config(options, false);
    if (!config) return std::unexpected(config.error());
    const std::string& directory = config->capture.pin;
    if (directory.empty()) {
        printf("capture.pin is empty: nothing outlives the agent\n");
        return ExitCode::ok;
    }
    const auto detached = capture::detach(directory);
    if (!detached) return std::unexpected(detached.error());
    print_detached(directory, *detached);
    return ExitCode::ok;
}

}  // namespace

void print_detached(const std::string& directory, const std::optional<capture::Detached>& detached) {
    if (!detached)
        printf("nothing is pinned in %s\n", directory.c_str());
    else
        printf("detached and removed %s; %llu records that no agent had taken are lost\n", directory.c_str(),
               static_cast<unsigned long long>(detached->unread));
}

void add_detach(CLI::App& app, Action& action) {
    auto options = std::make_shared<ConfigOptions>();
    CLI::App* command =
        app.add_subcommand("detach", "end the tracing that went on when the agent ended (capture.pin)");
    command->footer(examples);
    add_config_options(*command, *options);
    command->callback([options, &action] { action = [options] { return detach(*options); }; });
}

}  // namespace tcptrail::commands
