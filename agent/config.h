// SPDX-License-Identifier: Apache-2.0
//
// The agent's configuration: defaults < file < environment (TCPTRAIL_…) < --set.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/capture/options.h"
#include "agent/cluster/options.h"
#include "agent/connections/options.h"
#include "agent/context/options.h"
#include "agent/serve/options.h"
#include "agent/spool/options.h"
#include "agent/transmit/options.h"

namespace tcptrail {

enum class OutputFormat { table, wide, jsonl, csv };
enum class LogLevel { debug, info, warning, error };
enum class LogFormat { automatic, text, json };

struct Config {
    std::string node;  // this host's name in events; empty: its host name
    capture::Options capture;
    connections::Options connections;
    context::Options context;
    cluster::Options kubernetes;
    spool::Options spool;
    transmit::Options kafka;
    OutputFormat output_format = OutputFormat::table;  // of run without kafka.brokers
    uint32_t report_interval_secs = 10;
    serve::Options serve;
    LogLevel log_level = LogLevel::info;
    LogFormat log_format = LogFormat::automatic;
};

// Where a configuration comes from besides the defaults. `environment` has the whole environment,
// NAME=value each; names that do not begin with TCPTRAIL_ are ignored.
struct ConfigSources {
    std::string file;  // empty: none
    std::vector<std::string> environment;
    std::vector<std::string> settings;  // key=value each, in order
    // Whether the files that values name, such as those with secrets, must be there and be right. Who asks
    // how an agent is may not be allowed to read them.
    bool read_files = true;
};

// Reads all sources. The first mistake is the error: "FILE:LINE: what is wrong; what is allowed" (or
// "environment NAME: …", "--set KEY: …"), with ExitCode::configuration; ExitCode::no_input where it is that a
// file which a value names is not there. Never throws.
Result<Config> load_config(const ConfigSources& sources);

// Every key with its value in force as YAML that load_config accepts. Values of properties that hold
// secrets (password, key, secret, credential, token, …) read as "********".
std::string show_config(const Config& config);

// A table of every key: type and unit, default, allowed values, one line of what it does. For
// --help and the documentation.
std::string describe_config();

}  // namespace tcptrail
