// SPDX-License-Identifier: Apache-2.0
//
// What the commands have in common. Each add_… adds one to the program; the one that the user names sets
// `action`, which main() then runs.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/capture/detach.h"
#include "agent/config.h"
#include "agent/encode/text.h"

namespace CLI {
class App;
}

namespace tcptrail::commands {

// Returns the exit status, or the error that main() prints and takes it from.
using Action = std::function<Result<ExitCode>()>;

void add_run(CLI::App& app, Action& action);
void add_observe(CLI::App& app, Action& action);
void add_list(CLI::App& app, Action& action);
void add_consume(CLI::App& app, Action& action);
void add_topics(CLI::App& app, Action& action);
void add_spool(CLI::App& app, Action& action);
void add_check(CLI::App& app, Action& action);
void add_config(CLI::App& app, Action& action);
void add_detach(CLI::App& app, Action& action);
void add_status(CLI::App& app, Action& action);
void add_ready(CLI::App& app, Action& action);
void add_node(CLI::App& app, Action& action);
// These two tell of all the others: added last.
void add_completion(CLI::App& app, Action& action);
void add_manual(CLI::App& app, Action& action);

// --config and --set, for the commands that read the configuration.
struct ConfigOptions {
    std::string file;
    std::vector<std::string> settings;
};
void add_config_options(CLI::App& app, ConfigOptions& options);

// The file is --config, else $TCPTRAIL_CONFIG, else /etc/tcptrail/tcptrail.yaml where there is one.
ConfigSources config_sources(const ConfigOptions& options);
// `read_files`: as in ConfigSources.
Result<Config> load_config(const ConfigOptions& options, bool read_files = true);

// -o table|wide|jsonl|csv
void add_output_option(CLI::App& app, encode::TextFormat& format);
encode::TextFormat text_format(OutputFormat format);

// "seen 412 = told 410 + lost 2 (ring_full 2)"
struct Loss {
    const char* reason;
    uint64_t count;
};
std::string account_line(uint64_t seen, uint64_t told, const std::vector<Loss>& losses);

// To standard output: what became of what was pinned there; nothing: there was nothing.
void print_detached(const std::string& directory, const std::optional<capture::Detached>& detached);

}  // namespace tcptrail::commands
