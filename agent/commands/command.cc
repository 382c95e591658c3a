// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <map>

namespace tcptrail::commands {

namespace {

constexpr const char* default_file = "/etc/tcptrail/tcptrail.yaml";

}  // namespace

void add_config_options(CLI::App& app, ConfigOptions& options) {
    app.add_option("--config", options.file,
                   "configuration file (default: $TCPTRAIL_CONFIG, " + std::string(default_file) +
                       " where it exists)")
        ->type_name("FILE");
    // One value per --set: the rest of the line is not its.
    app.add_option("--set", options.settings,
                   "set one key of the configuration; wins over file and environment")
        ->type_name("KEY=VALUE")
        ->expected(1)
        ->take_all();
}

ConfigSources config_sources(const ConfigOptions& options) {
    ConfigSources sources;
    sources.file = options.file;
    sources.settings = options.settings;
    for (char** variable = environ; *variable; ++variable)
        sources.environment.emplace_back(*variable);
    if (sources.file.empty())
        if (const char* named = std::getenv("TCPTRAIL_CONFIG")) sources.file = named;
    std::error_code error;
    if (sources.file.empty() && std::filesystem::exists(default_file, error)) sources.file = default_file;
    return sources;
}

Result<Config> load_config(const ConfigOptions& options, bool read_files) {
    ConfigSources sources = config_sources(options);
    sources.read_files = read_files;
    return tcptrail::load_config(sources);
}

void add_output_option(CLI::App& app, encode::TextFormat& format) {
    static const std::map<std::string, encode::TextFormat> formats = {{"table", encode::TextFormat::table},
                                                                      {"wide", encode::TextFormat::wide},
                                                                      {"jsonl", encode::TextFormat::jsonl},
                                                                      {"csv", encode::TextFormat::csv}};
    const auto set = [&format](const std::string& name) { format = formats.at(name); };
    const auto problem = [](const std::string& name) {
        return formats.contains(name) ? "" : "'" + name + "' is not a form: give table, wide, jsonl or csv";
    };
    app.add_option_function<std::string>("-o,--output", set, "form of the output")
        ->type_name("table|wide|jsonl|csv")
        ->check(problem)
        ->default_str("table");
}

encode::TextFormat text_format(OutputFormat format) {
    switch (format) {
        case OutputFormat::wide:
            return encode::TextFormat::wide;
        case OutputFormat::jsonl:
            return encode::TextFormat::jsonl;
        case OutputFormat::csv:
            return encode::TextFormat::csv;
        case OutputFormat::table:
            break;
    }
    return encode::TextFormat::table;
}

std::string account_line(uint64_t seen, uint64_t told, const std::vector<Loss>& losses) {
    uint64_t lost = 0;
    std::string reasons;
    for (const Loss& loss : losses) {
        lost += loss.count;
        if (loss.count)
            reasons +=
                (reasons.empty() ? "" : ", ") + std::string(loss.reason) + " " + std::to_string(loss.count);
    }
    return "seen " + std::to_string(seen) + " = told " + std::to_string(told) + " + lost " +
           std::to_string(lost) + (reasons.empty() ? "" : " (" + reasons + ")");
}

}  // namespace tcptrail::commands
