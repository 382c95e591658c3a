// SPDX-License-Identifier: Apache-2.0
//
// The commands and their options as data, read from what parses them and prints --help: the manual and the
// completions of shells are written from it.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace tcptrail::commands {

struct OptionText {
    std::vector<std::string> names;  // "-o", "--output"; empty: an argument without a name
    std::string value;               // "table|json", "FILE"; empty: a flag
    std::string description;

    // "table", "json"; empty: any value.
    std::vector<std::string> choices() const;
    bool is_file() const { return value == "FILE" || value == "PATH" || value == "file"; }
    bool is_folder() const { return value == "DIR"; }
};

struct CommandText {
    std::string name;  // "export"
    std::string path;  // "spool export"; empty: the program
    std::string description;
    std::string footer;
    std::vector<OptionText> options;
    std::vector<CommandText> commands;
};

// What is hidden in --help is not in it.
CommandText describe_commands(const CLI::App& app);

// The commands of the tree, each before those within it; the first one is the program.
std::vector<const CommandText*> flatten(const CommandText& tree);

// Scripts that complete a command line of tcptrail, for one shell each.
std::string bash_completion(const CommandText& tree);
std::string zsh_completion(const CommandText& tree);
std::string fish_completion(const CommandText& tree);

// Pages of the manual in the language of scdoc(5): tcptrail(1) and tcptrail.yaml(5).
std::string command_page(const CommandText& tree);
std::string config_page();

}  // namespace tcptrail::commands
