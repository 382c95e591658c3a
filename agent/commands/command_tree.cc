// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/command_tree.h"

#include <CLI/CLI.hpp>

namespace tcptrail::commands {

namespace {

OptionText describe(const CLI::Option& option) {
    OptionText text;
    for (const std::string& name : option.get_snames())
        text.names.push_back("-" + name);
    for (const std::string& name : option.get_lnames())
        text.names.push_back("--" + name);
    text.description = option.get_description();
    if (option.get_items_expected_max() > 0)
        text.value = text.names.empty() ? option.get_name() : option.get_type_name();
    return text;
}

CommandText describe(const CLI::App& app, const std::string& path) {
    CommandText text{app.get_name(), path, app.get_description(), app.get_footer(), {}, {}};
    for (const CLI::Option* option : app.get_options())
        if (!option->get_group().empty()) text.options.push_back(describe(*option));
    // An empty filter is not the same as none.
    const auto any = [](const CLI::App*) { return true; };
    for (const CLI::App* command : app.get_subcommands(any))
        if (!command->get_group().empty())
            text.commands.push_back(
                describe(*command, path.empty() ? command->get_name() : path + " " + command->get_name()));
    return text;
}

void add(const CommandText& command, std::vector<const CommandText*>& all) {
    all.push_back(&command);
    for (const CommandText& within : command.commands)
        add(within, all);
}

}  // namespace

std::vector<std::string> OptionText::choices() const {
    if (value.find('|') == std::string::npos) return {};
    std::vector<std::string> all{""};
    for (const char c : value) {
        if (c == '|')
            all.emplace_back();
        else
            all.back() += c;
    }
    return all;
}

CommandText describe_commands(const CLI::App& app) {
    return describe(app, "");
}

std::vector<const CommandText*> flatten(const CommandText& tree) {
    std::vector<const CommandText*> all;
    add(tree, all);
    return all;
}

}  // namespace tcptrail::commands
