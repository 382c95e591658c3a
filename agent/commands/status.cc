// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/util/json_util.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include "agent/base/clock.h"
#include "agent/commands/command.h"
#include "agent/commands/status_text.h"
#include "agent/serve/local_socket.h"
#include "schemas/v1/agent.pb.h"

namespace tcptrail::commands {

namespace {

constexpr const char* examples = R"(
Examples:
  tcptrail status
  tcptrail status -o json | jq .stages
  tcptrail status --socket /run/tcptrail/tcptrail.sock

Exit status: 0 healthy; 1 degraded, or the accounts do not fit, or no answer; 69 no agent runs; 77 not allowed to ask.)";

constexpr std::chrono::milliseconds patience{5000};

struct StatusOptions {
    ConfigOptions config;
    std::string socket;
    bool json = false;
};

Result<std::string> socket_of(const StatusOptions& options) {
    if (!options.socket.empty()) return options.socket;
    const auto config = load_config(options.config, false);
    if (!config) return std::unexpected(config.error());
    if (config->serve.socket.empty())
        return fail("serve.socket is empty: the agent does not say how it is", ExitCode::unavailable);
    return config->serve.socket;
}

Result<ExitCode> status(const StatusOptions& options) {
    const auto socket = socket_of(options);
    if (!socket) return std::unexpected(socket.error());
    const auto answer = serve::ask(*socket, patience);
    if (!answer) return std::unexpected(answer.error());
    v1::AgentReport report;
    // The agent may be of another version.
    google::protobuf::util::JsonParseOptions lenient;
    lenient.ignore_unknown_fields = true;
    if (!google::protobuf::util::JsonStringToMessage(*answer, &report, lenient).ok())
        return fail("the answer at " + *socket + " is no whole account");
    const std::string text = options.json ? *answer : status_text(report, unix_nanos());
    if (fwrite(text.data(), 1, text.size(), stdout) != text.size() || fflush(stdout) != 0)
        return fail("cannot write the output");
    return problems_of(report).empty() ? ExitCode::ok : ExitCode::failure;
}

}  // namespace

void add_status(CLI::App& app, Action& action) {
    auto options = std::make_shared<StatusOptions>();
    CLI::App* command = app.add_subcommand("status", "how the agent is that runs on this host");
    command->footer(examples);
    command->add_option("--socket", options->socket, "where to ask (default: serve.socket)")
        ->type_name("PATH");
    command
        ->add_option_function<std::string>(
            "-o,--output", [options](const std::string& form) { options->json = form == "json"; },
            "form of the output")
        ->type_name("text|json")
        ->check(CLI::IsMember({"text", "json"}).description(""))
        ->default_str("text");
    add_config_options(*command, options->config);
    command->callback([options, &action] { action = [options] { return status(*options); }; });
}

}  // namespace tcptrail::commands
