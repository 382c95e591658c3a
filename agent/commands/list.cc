// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <unordered_map>

#include "agent/base/clock.h"
#include "agent/capture/snapshot.h"
#include "agent/commands/command.h"
#include "agent/commands/filter.h"
#include "agent/connections/connections.h"
#include "agent/connections/listener.h"
#include "agent/context/context.h"
#include "agent/context/host.h"
#include "agent/context/namespaces.h"
#include "agent/encode/event.h"
#include "agent/encode/listener.h"

namespace tcptrail::commands {

namespace {

constexpr const char* examples = R"(
Examples:
  tcptrail list                                      every open connection, in all network namespaces
  tcptrail list --process 'java*' -o wide            one program's, with more columns
  tcptrail list --port 5432 -o jsonl | jq .idle_us   how long each connection to a database has been idle
  tcptrail list --listening                          listeners and their queues

While an agent runs, it tells when each connection began, and of connections that no process holds: those that
wait for accept(), or are closed and not yet done. A socket that several processes hold is shown once.
Needs CAP_BPF and CAP_PERFMON; CAP_SYS_ADMIN to ask the agent.)";

struct ListOptions {
    ConfigOptions config;
    FilterOptions filter;
    encode::TextFormat format = encode::TextFormat::table;
    bool listening = false;
};

constexpr auto longest_wait_for_cluster = std::chrono::seconds(2);

// One walk over what is open, printed as it goes.
class List {
public:
    List(const ListOptions& options, const Config& config, Filter filter)
        : filter_(std::move(filter)),
          proc_(config.context.proc),
          host_(context::identify_host(config.context.proc, config.node)),
          context_(config.context),
          encoder_(host_),
          writer_(options.format, stdout,
                  options.listening ? encode::TextSubject::listeners : encode::TextSubject::open_connections),
          listening_(options.listening) {}

    // Names of the cluster's API server, too. Before print().
    Result<> ask_cluster(const cluster::Options& options) {
        if (auto asked = context_.ask_cluster(options, host_.node); !asked) return asked;
        context_.wait_for_cluster(longest_wait_for_cluster);
        return {};
    }
    Result<> print(capture::Snapshot& snapshot);

private:
    void show(const tcptrail_record& record);
    void show(const tcptrail_listener_record& record);
    void keep(Result<> written) {
        if (written || closed_) return;
        closed_ = true;
        if (!writer_.reader_is_gone()) failure_ = std::move(written);
    }

    Result<> read_counts(capture::Snapshot& snapshot);

    Filter filter_;
    std::string proc_;
    std::unordered_map<uint32_t, context::NamespaceCounts> counts_;  // by namespace
    context::Host host_;
    context::Context context_;
    encode::EventEncoder encoder_;
    encode::TextWriter writer_;
    connections::Kernel kernel_;
    bool listening_;
    bool closed_ = false;  // the rest cannot be written, or is not wanted
    Result<> failure_;
};

void List::show(const tcptrail_record& record) {
    if (closed_) return;
    const auto connection = connections::connection_of(record, kernel_, boot_to_unix_offset());
    const auto& event = encoder_.encode(connection, context_.find(connection), unix_nanos());
    if (filter_.matches(event)) keep(writer_.write(event));
}

void List::show(const tcptrail_listener_record& record) {
    if (closed_) return;
    const auto listener = connections::listener_of(record, boot_to_unix_offset());
    const auto counts = counts_.find(listener.netns);
    const v1::Listener message = encode::listener_message(
        listener, context_.find(listener.owner), counts == counts_.end() ? nullptr : &counts->second);
    if (filter_.matches(message)) keep(writer_.write(message));
}

Result<> List::read_counts(capture::Snapshot& snapshot) {
    const auto tasks = snapshot.tasks();
    if (!tasks) return std::unexpected(tasks.error());
    for (const tcptrail_task_netns& task : *tasks)
        if (!counts_.contains(task.netns))
            if (const auto counts = context::read_namespace_counts(proc_, task.pid))
                counts_.emplace(task.netns, *counts);
    return {};
}

Result<> List::print(capture::Snapshot& snapshot) {
    kernel_ = {snapshot.hz(), snapshot.reset_reasons()};
    if (listening_)
        if (auto read = read_counts(snapshot); !read) return read;
    keep(writer_.header());
    auto walked = listening_
                      ? snapshot.listeners([this](const tcptrail_listener_record& record) { show(record); })
                      : snapshot.connections([this](const tcptrail_record& record) { show(record); });
    if (!closed_) keep(writer_.flush());
    return walked ? failure_ : walked;
}

}  // namespace

void add_list(CLI::App& app, Action& action) {
    auto options = std::make_shared<ListOptions>();
    CLI::App* command = app.add_subcommand("list", "show the connections that are open now");
    command->footer(examples);
    auto* listening =
        command->add_flag("--listening", options->listening, "show listeners and their queues instead");
    add_output_option(*command, options->format);
    add_filter_options(*command, options->filter);
    command->remove_option(command->get_option("--failed"));  // what failed is not open
    listening->excludes(command->get_option("--role"));
    add_config_options(*command, options->config);
    command->callback([options, &action] {
        action = [options]() -> Result<ExitCode> {
            const auto config = load_config(options->config, false);
            if (!config) return std::unexpected(config.error());
            auto filter = Filter::make(options->filter);
            if (!filter) return std::unexpected(std::move(filter.error()));
            auto snapshot = capture::Snapshot::take(config->capture);
            if (!snapshot) return std::unexpected(std::move(snapshot.error()));
            List list(*options, *config, std::move(*filter));
            if (auto asked = list.ask_cluster(config->kubernetes); !asked)
                return std::unexpected(std::move(asked.error()));
            if (auto printed = list.print(**snapshot); !printed)
                return std::unexpected(std::move(printed.error()));
            if (!(*snapshot)->agent_problem().empty())
                fprintf(stderr, "tcptrail: without what a running agent knows: %s\n",
                        (*snapshot)->agent_problem().c_str());
            const auto left_out = (*snapshot)->left_out();
            if (!left_out) return std::unexpected(left_out.error());
            if (*left_out)
                return fail(
                    std::to_string(*left_out) +
                    " sockets were not looked at: there are more than capture.max_connections, or than "
                    "65,000 listeners");
            return ExitCode::ok;
        };
    });
}

}  // namespace tcptrail::commands
