// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>

#include "agent/base/capabilities.h"
#include "agent/base/log.h"
#include "agent/commands/command.h"
#include "version.h"

namespace {

using tcptrail::ExitCode;

constexpr const char* footer = R"(
Examples:
  tcptrail observe                                connections of this host, live
  tcptrail list                                   what is open now
  tcptrail check                                  can this host run it?
  tcptrail run --set kafka.brokers=broker:9092    send them to Kafka
  tcptrail status                                 how the agent is that runs
  tcptrail consume --brokers broker:9092          read them back

Exit status: 0 ok, 1 failure, 2 usage, 66 a file that the configuration names is missing, 69 kernel or feature
missing, 77 capability missing, 78 configuration.
tcptrail COMMAND --help tells more.)";

// CLI11 has exit codes of its own; ours are those of the README.
int usage_error(const CLI::App& app, const CLI::ParseError& error) {
    const bool asked = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success);
    app.exit(error);
    return static_cast<int>(asked ? ExitCode::ok : ExitCode::usage);
}

}  // namespace

int main(int argc, char** argv) {
    // A reader of our output that goes away is an error of write(), not the end of the program.
    signal(SIGPIPE, SIG_IGN);
    tcptrail::use_permitted_capabilities();
    // Programs and maps take some sixty descriptors, brokers one each. Nothing here uses select().
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }

    CLI::App app{"tcptrail tells the whole life of each TCP connection of this host, from outside.",
                 "tcptrail"};
    app.set_version_flag("--version", "tcptrail " TCPTRAIL_VERSION, "print the version and exit");
    app.footer(footer);
    app.require_subcommand(1);
    tcptrail::commands::Action action;
    tcptrail::commands::add_run(app, action);
    tcptrail::commands::add_status(app, action);
    tcptrail::commands::add_observe(app, action);
    tcptrail::commands::add_list(app, action);
    tcptrail::commands::add_consume(app, action);
    tcptrail::commands::add_topics(app, action);
    tcptrail::commands::add_spool(app, action);
    tcptrail::commands::add_check(app, action);
    tcptrail::commands::add_config(app, action);
    tcptrail::commands::add_detach(app, action);
    tcptrail::commands::add_ready(app, action);
    tcptrail::commands::add_node(app, action);
    tcptrail::commands::add_completion(app, action);
    tcptrail::commands::add_manual(app, action);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return usage_error(app, error);
    }

    const auto status = action();
    if (status) return static_cast<int>(*status);
    tcptrail::tell_failure(status.error().message);
    return static_cast<int>(status.error().code);
}
