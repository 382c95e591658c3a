// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <string_view>
#include <vector>

#include "agent/commands/command_tree.h"
#include "agent/config_schema.h"

namespace tcptrail::commands {

namespace {

constexpr std::string_view header =
    "# SPDX-License-Identifier: Apache-2.0\n# Made by: tcptrail completion {}\n";

// "capture.pin=": for --set. Maps go on with a name of librdkafka's.
std::vector<std::string> settings() {
    std::vector<std::string> all;
    for (const ConfigKey& key : config_keys())
        all.push_back(fmt::format("{}{}", key.name, key.kind == ConfigKey::Kind::map ? "." : "="));
    return all;
}

// Within '…' of a shell; in fish and zsh as in bash.
std::string quote(std::string_view text) {
    std::string quoted = "'";
    for (const char c : text)
        quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return quoted + "'";
}

std::string commands_of(const CommandText& command) {
    std::vector<std::string> names;
    for (const CommandText& within : command.commands)
        names.push_back(within.name);
    return fmt::format("{}", fmt::join(names, " "));
}

std::vector<std::string> option_names(const CommandText& command) {
    std::vector<std::string> names;
    for (const OptionText& option : command.options)
        names.insert(names.end(), option.names.begin(), option.names.end());
    return names;
}

// ---- bash

std::string bash_values(const CommandText& command) {
    std::string cases;
    for (const OptionText& option : command.options) {
        if (option.names.empty() || option.value.empty()) continue;
        std::string reply = "COMPREPLY=()";
        if (option.value == "KEY=VALUE")
            reply = "compopt -o nospace; _tcptrail_words \"$settings\"";
        else if (option.is_file())
            reply = "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$current\")";
        else if (option.is_folder())
            reply = "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$current\")";
        else if (const auto choices = option.choices(); !choices.empty())
            reply = fmt::format("_tcptrail_words '{}'", fmt::join(choices, " "));
        for (const std::string& name : option.names)
            cases += fmt::format("        {}) {}; return ;;\n", quote(command.path + " " + name), reply);
    }
    return cases;
}

// ---- zsh

// A colon or a bracket ends a description there.
std::string zsh_text(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        if (c == ':' || c == '[' || c == ']' || c == '\\') escaped += '\\';
        escaped += c;
    }
    return escaped;
}

std::string zsh_option(const OptionText& option, const std::string& name) {
    std::string action = " ";
    if (option.value == "KEY=VALUE")
        action = "->setting";
    else if (option.is_file())
        action = "_files";
    else if (option.is_folder())
        action = "_files -/";
    else if (const auto choices = option.choices(); !choices.empty())
        action = fmt::format("({})", fmt::join(choices, " "));
    const std::string description = zsh_text(option.description);
    if (option.names.empty()) return quote(fmt::format(":{}:{}", description, action));
    if (option.value.empty()) return quote(fmt::format("*{}[{}]", name, description));
    return quote(fmt::format("*{}[{}]:{}:{}", name, description, zsh_text(option.value), action));
}

// ---- fish

// What has been typed so far names this command, and no other one within it.
std::string fish_condition(const CommandText& command) {
    return quote(fmt::format("test \"$(__tcptrail_command)\" = \"{}\"", command.path));
}

std::string fish_option(const CommandText& command, const OptionText& option) {
    std::string line = fmt::format("complete -c tcptrail -n {}", fish_condition(command));
    if (option.names.empty()) return option.is_file() ? line + " -F\n" : "";
    for (const std::string& name : option.names)
        line += name.starts_with("--") ? fmt::format(" -l {}", name.substr(2))
                                       : fmt::format(" -s {}", name.substr(1));
    if (option.value == "KEY=VALUE")
        line += fmt::format(" -x -a {}", quote(fmt::format("{}", fmt::join(settings(), " "))));
    else if (option.is_file() || option.is_folder())
        line += " -r -F";
    else if (const auto choices = option.choices(); !choices.empty())
        line += fmt::format(" -x -a '{}'", fmt::join(choices, " "));
    else if (!option.value.empty())
        line += " -x";
    return fmt::format("{} -d {}\n", line, quote(option.description));
}

}  // namespace

std::string bash_completion(const CommandText& tree) {
    std::string commands, values, words;
    for (const CommandText* command : flatten(tree)) {
        for (const CommandText& within : command->commands)
            commands +=
                fmt::format("            {}) path={} ;;\n",
                            quote(fmt::format("{}/{}", command->path, within.name)), quote(within.path));
        values += bash_values(*command);
        words += fmt::format("        {}) _tcptrail_words '{}{}{}' ;;\n", quote(command->path),
                             commands_of(*command), command->commands.empty() ? "" : " ",
                             fmt::join(option_names(*command), " "));
    }
    return fmt::format(
        "{0}"
        "_tcptrail_words() {{ mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$current\"); }}\n"
        "\n"
        "_tcptrail() {{\n"
        "    local path='' current=$2 before=$3 i\n"
        "    local settings='{1}'\n"
        "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
        "        case $path/${{COMP_WORDS[i]}} in\n"
        "{2}"
        "        esac\n"
        "    done\n"
        "    case \"$path $before\" in\n"
        "{3}"
        "    esac\n"
        "    case $path in\n"
        "{4}"
        "    esac\n"
        "}}\n"
        "complete -F _tcptrail tcptrail\n",
        fmt::format(fmt::runtime(header), "bash"), fmt::join(settings(), " "), commands, values, words);
}

std::string zsh_completion(const CommandText& tree) {
    std::string functions;
    for (const CommandText* command : flatten(tree)) {
        std::string name = "_tcptrail";
        for (const char c : command->path.empty() ? "" : " " + command->path)
            name += c == ' ' ? '_' : c;
        std::string specs, dispatch;
        for (const OptionText& option : command->options) {
            if (option.names.empty()) specs += fmt::format(" \\\n        {}", zsh_option(option, ""));
            for (const std::string& option_name : option.names)
                specs += fmt::format(" \\\n        {}", zsh_option(option, option_name));
        }
        if (!command->commands.empty()) {
            specs += " \\\n        '1:command:->command' '*::argument:->argument'";
            dispatch += "        command)\n            local -a commands=(\n";
            for (const CommandText& within : command->commands)
                dispatch +=
                    fmt::format("                {}\n",
                                quote(fmt::format("{}:{}", within.name, zsh_text(within.description))));
            dispatch +=
                "            )\n            _describe command commands ;;\n        argument)\n"
                "            case $words[1] in\n";
            for (const CommandText& within : command->commands)
                dispatch += fmt::format("                {0}) {1}_{0} ;;\n", within.name, name);
            dispatch += "            esac ;;\n";
        }
        functions += fmt::format(
            "{0}() {{\n"
            "    local state line\n"
            "    local -a words_before=($words)\n"
            "    typeset -A opt_args\n"
            "    _arguments -C{1} && [[ -z $state ]] && return\n"
            "    case $state in\n"
            "{2}"
            "        setting) _tcptrail_setting ;;\n"
            "    esac\n"
            "}}\n\n",
            name, specs, dispatch);
    }
    return fmt::format(
        "#compdef tcptrail\n{}\n{}"
        "_tcptrail_setting() {{\n"
        "    local -a settings=({})\n"
        "    compadd -S '' -a settings\n"
        "}}\n\n"
        "_tcptrail \"$@\"\n",
        fmt::format(fmt::runtime(header), "zsh"), functions, fmt::join(settings(), " "));
}

std::string fish_completion(const CommandText& tree) {
    std::string lines, cases;
    for (const CommandText* command : flatten(tree)) {
        for (const CommandText& within : command->commands) {
            cases += fmt::format("            case {}\n                set path {}\n",
                                 quote(fmt::format("{}/{}", command->path, within.name)), quote(within.path));
            lines += fmt::format("complete -c tcptrail -n {} -a {} -d {}\n", fish_condition(*command),
                                 within.name, quote(within.description));
        }
        for (const OptionText& option : command->options)
            lines += fish_option(*command, option);
    }
    return fmt::format(
        "{0}"
        "# The command that the words so far name: \"spool export\".\n"
        "function __tcptrail_command\n"
        "    set -l path ''\n"
        "    for word in (commandline -opc)[2..]\n"
        "        switch $path/$word\n"
        "{1}"
        "        end\n"
        "    end\n"
        "    echo $path\n"
        "end\n"
        "complete -c tcptrail -f\n"
        "{2}",
        fmt::format(fmt::runtime(header), "fish"), cases, lines);
}

}  // namespace tcptrail::commands
