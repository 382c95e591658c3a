// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <string>
#include <string_view>

#include "agent/commands/command_tree.h"
#include "agent/config.h"
#include "agent/config_schema.h"

namespace tcptrail::commands {

namespace {

// What scdoc would take for its own. At the beginning of a line that is more, which no text here begins with.
std::string plain(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        if (std::string_view("*_\\`#<>[]|~+").find(c) != std::string_view::npos) escaped += '\\';
        escaped += c;
    }
    return escaped;
}

// As it is, in lines.
std::string literal(std::string_view text) {
    const size_t begin = text.find_first_not_of('\n'), end = text.find_last_not_of('\n');
    if (begin == std::string_view::npos) return "";
    std::string lines = "```\n";
    for (const char c : text.substr(begin, end - begin + 1))
        lines += c == '\\' ? std::string("\\\\") : std::string(1, c);
    return lines + "\n```\n\n";
}

std::string option_entry(const OptionText& option) {
    std::string names;
    for (const std::string& name : option.names)
        names += fmt::format("{}*{}*", names.empty() ? "" : ", ", plain(name));
    if (!option.value.empty()) names += fmt::format("{}_{}_", names.empty() ? "" : " ", plain(option.value));
    return fmt::format("{}\n\t{}.\n\n", names, plain(option.description));
}

std::string command_section(const CommandText& command) {
    std::string text =
        fmt::format("## tcptrail {}\n\n{}.\n\n", plain(command.path), plain(command.description));
    for (const OptionText& option : command.options)
        text += option_entry(option);
    return text + literal(command.footer);
}

}  // namespace

std::string command_page(const CommandText& tree) {
    std::string page =
        "tcptrail(1)\n\n# NAME\n\n"
        "tcptrail - tells the whole life of each TCP connection of a host\n\n"
        "# SYNOPSIS\n\n*tcptrail* _COMMAND_ [_OPTION_...]\n\n# DESCRIPTION\n\n";
    page += plain(tree.description) +
            " It watches from the kernel with eBPF, and needs nothing from the applications. As a service it "
            "sends "
            "its records to Kafka: see *tcptrail*(8).\n\n# OPTIONS\n\n";
    for (const OptionText& option : tree.options)
        page += option_entry(option);
    page += "# COMMANDS\n\n";
    for (const CommandText* command : flatten(tree))
        // A command with others in it does nothing alone.
        if (!command->path.empty() && command->commands.empty()) page += command_section(*command);
    return page +
           "# EXIT STATUS\n\n"
           "0 ok, 1 failure, 2 usage, 66 a file that the configuration names is missing, 69 kernel or "
           "feature missing, 77 capability missing, 78 configuration.\n\n"
           "# FILES\n\n_/etc/tcptrail/tcptrail.yaml_\n\tThe configuration, unless *--config* or "
           "*TCPTRAIL\\_CONFIG* names another one.\n\n"
           "# SEE ALSO\n\n*tcptrail.yaml*(5), *tcptrail*(8)\n";
}

std::string config_page() {
    std::string page =
        "tcptrail.yaml(5)\n\n# NAME\n\n"
        "tcptrail.yaml - configuration of tcptrail\n\n"
        "# SYNOPSIS\n\n_/etc/tcptrail/tcptrail.yaml_\n\n# DESCRIPTION\n\n"
        "YAML, with sections as nested maps and units in the names of the keys. A key that is left out has "
        "its "
        "default. Unknown keys, keys that are there twice and values that do not fit are errors with file "
        "and "
        "line, and nothing is started; *tcptrail config check* looks for them, *tcptrail config show* prints "
        "what is in force.\n\n"
        "The environment overrides the file: each key below tells its variable. *--set* _KEY_=_VALUE_ on the "
        "command line overrides both. Maps are merged: one property is set by "
        "*--set kafka.properties.linger.ms=5*.\n\n"
        "A running agent takes the file up anew on SIGHUP, or keeps what is in force and logs why.\n\n"
        "# KEYS\n\n";
    const Config defaults;
    for (const ConfigKey& key : config_keys()) {
        const std::string value = key.kind == ConfigKey::Kind::map ? "{}" : key.show(defaults);
        page += fmt::format("*{}* ({}; default {})\n\t{} Allowed: {}. Variable: {}.\n\n", plain(key.name),
                            plain(key.type), plain(value), plain(key.description), plain(key.allowed),
                            plain(environment_name(key)));
    }
    return page +
           "# EXAMPLE\n\n```\n"
           "kafka:\n"
           "  brokers: [kafka-1:9093, kafka-2:9093]\n"
           "  properties:\n"
           "    security.protocol: ssl\n"
           "spool:\n"
           "  max_bytes: 4GiB\n"
           "```\n\n# FILES\n\n_/usr/share/doc/tcptrail/examples/tcptrail.yaml_\n"
           "\tEvery key with its default, in the form of the file. _/etc/tcptrail/tcptrail.yaml_ needs what "
           "differs alone.\n\n"
           "# SEE ALSO\n\n*tcptrail*(1), *tcptrail*(8)\n";
}

}  // namespace tcptrail::commands
