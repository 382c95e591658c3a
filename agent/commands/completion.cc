// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>

#include "agent/commands/command.h"
#include "agent/commands/command_tree.h"

namespace tcptrail::commands {

namespace {

constexpr const char* examples = R"(
Examples:
  tcptrail completion bash > /etc/bash_completion.d/tcptrail
  tcptrail completion zsh > /usr/local/share/zsh/site-functions/_tcptrail
  tcptrail completion fish > ~/.config/fish/completions/tcptrail.fish

Debian's package has all three.)";

// What `write` makes of the commands of the whole program.
template <class Write>
void add_text(CLI::App& parent, const CLI::App& app, Action& action, const char* name,
              const std::string& description, Write write) {
    parent.add_subcommand(name, description)->callback([&app, &action, write] {
        action = [&app, write]() -> Result<ExitCode> {
            const std::string text = write(describe_commands(app));
            if (fwrite(text.data(), 1, text.size(), stdout) != text.size() || fflush(stdout) != 0)
                return fail("cannot write the output");
            return ExitCode::ok;
        };
    });
}

}  // namespace

void add_completion(CLI::App& app, Action& action) {
    CLI::App* command =
        app.add_subcommand("completion", "completion of command lines, as a script for a shell");
    command->footer(examples);
    command->require_subcommand(1);
    add_text(*command, app, action, "bash", "for bash", bash_completion);
    add_text(*command, app, action, "zsh", "for zsh", zsh_completion);
    add_text(*command, app, action, "fish", "for fish", fish_completion);
}

// For whoever makes a package; hidden.
void add_manual(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("manual", "pages of the manual, for scdoc");
    command->group("");
    command->require_subcommand(1);
    add_text(*command, app, action, "commands", "tcptrail(1)", command_page);
    add_text(*command, app, action, "config", "tcptrail.yaml(5)",
             [](const CommandText&) { return config_page(); });
}

}  // namespace tcptrail::commands
