// SPDX-License-Identifier: Apache-2.0
#include <sys/utsname.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "agent/base/capabilities.h"
#include "agent/capture/capture.h"
#include "agent/commands/command.h"
#include "agent/commands/self_test.h"
#include "agent/config_warnings.h"
#include "agent/transmit/client.h"
#include "agent/transmit/ping.h"
#include "agent/transmit/topics.h"
#include "version.h"

namespace tcptrail::commands {

namespace {

constexpr const char* examples = R"(
Examples:
  tcptrail check
  tcptrail check --set kafka.brokers=broker:9092
  tcptrail check -o json | jq '.checks[] | select(.status != "ok")'

Loads and attaches the programs for a moment, so it needs what `run` needs.)";

constexpr int oldest_kernel[] = {5, 15};

enum class Status { ok, warning, failed };

struct Check {
    std::string name;
    Status status = Status::ok;
    std::string detail;
};

const char* name_of(Status status) {
    switch (status) {
        case Status::ok:
            return "ok";
        case Status::warning:
            return "warning";
        case Status::failed:
            break;
    }
    return "failed";
}

// All that this host is asked. The first failure in the order of asking decides the exit status.
class Host {
public:
    void ask(const ConfigOptions& options);
    void print_table() const;
    void print_json() const;
    ExitCode status() const { return status_; }

private:
    void add(std::string name, Status status, std::string detail, ExitCode code = ExitCode::failure) {
        if (status == Status::failed && status_ == ExitCode::ok) status_ = code;
        checks_.push_back({std::move(name), status, std::move(detail)});
    }
    void ask_kernel();
    void ask_btf(const Config& config);
    void ask_capabilities();
    void ask_hooks(const Config& config);
    void ask_kafka(const Config& config);
    void ask_topics(const Config& config);

    std::vector<Check> checks_;
    ExitCode status_ = ExitCode::ok;
};

void Host::ask(const ConfigOptions& options) {
    const auto config = load_config(options);
    if (config)
        add("configuration", Status::ok,
            config_sources(options).file.empty() ? "no file: defaults, environment, --set"
                                                 : config_sources(options).file);
    else
        add("configuration", Status::failed, config.error().message, config.error().code);
    if (config)
        for (std::string& warning : config_warnings(*config, config_sources(options).file))
            add("configuration", Status::warning, std::move(warning));
    ask_kernel();
    ask_btf(config.value_or(Config{}));
    ask_capabilities();
    ask_hooks(config.value_or(Config{}));
    if (config) ask_kafka(*config);
}

void Host::ask_kernel() {
    utsname system{};
    uname(&system);
    int major = 0, minor = 0;
    const bool known = sscanf(system.release, "%d.%d", &major, &minor) == 2;
    const bool enough =
        known && (major > oldest_kernel[0] || (major == oldest_kernel[0] && minor >= oldest_kernel[1]));
    add("kernel", enough ? Status::ok : Status::failed,
        std::string(system.release) + (enough ? "" : ": Linux 5.15 or later is needed"),
        ExitCode::unavailable);
}

void Host::ask_btf(const Config& config) {
    const auto types = capture::read_kernel_types(config.capture);
    add("btf", types ? Status::ok : Status::failed,
        types ? std::to_string(types->reset_reasons.size()) + " reset reasons known by name"
              : types.error().message,
        ExitCode::unavailable);
}

void Host::ask_capabilities() {
    for (const Capability& capability : useful_capabilities()) {
        const bool there = has(capability);
        add(capability.name,
            there                    ? Status::ok
            : capability.is_required ? Status::failed
                                     : Status::warning,
            there ? capability.what_for : std::string("missing: ") + capability.what_for,
            ExitCode::no_permission);
    }
}

std::string cost_of(const capture::HookStatus& hook) {
    if (!hook.verified_instructions) return "";
    return ", " + std::to_string(hook.verified_instructions) + " instructions verified";
}

void Host::ask_hooks(const Config& config) {
    SelfTest test;
    capture::Options options = config.capture;
    options.include_self = true;
    options.pin.clear();
    const auto capture = capture::Capture::start(options, [&](const tcptrail_record& record) {
        test.count(record);
        return true;
    });
    if (!capture) {
        add("hooks", Status::failed, capture.error().message, capture.error().code);
        return;
    }
    for (const capture::HookStatus& hook : (*capture)->hooks()) {
        const std::string gap =
            hook.plan->never_told ? std::string("; does not tell ") + hook.plan->never_told : "";
        add(hook.plan->name, hook.attached ? Status::ok : Status::warning,
            hook.attached ? std::string("attached: ") + hook.plan->program + cost_of(hook) + gap
                          : std::string("cannot tell ") + hook.plan->missing_fact + ": " + hook.problem);
    }
    const auto result = test.run(**capture);
    add("capture", result && result->is_complete() ? Status::ok : Status::warning,
        result ? result->text() : result.error().message);
}

void Host::ask_kafka(const Config& config) {
    if (config.kafka.brokers.empty()) {
        add("kafka", Status::ok, "no kafka.brokers: events go to standard output");
        return;
    }
    if (const auto warning = transmit::client_warning(config.kafka))
        add("kafka client", Status::warning, *warning);
    const auto cluster = transmit::ping(config.kafka);
    if (!cluster) {
        add("kafka", Status::failed, cluster.error().message);
        return;
    }
    add("kafka", Status::ok, "cluster " + cluster->cluster_id + " answers");
    for (const transmit::BrokerAnswer& broker : cluster->brokers)
        add("kafka broker " + std::to_string(broker.id),
            broker.problem.empty() ? Status::ok : Status::warning,
            broker.address + (broker.problem.empty() ? "" : ": " + broker.problem));
    ask_topics(config);
}

void Host::ask_topics(const Config& config) {
    const auto reports = transmit::check_topics(config.kafka);
    if (!reports) {
        add("kafka topics", Status::failed, reports.error().message);
        return;
    }
    for (const transmit::TopicReport& report : *reports) {
        const std::string name = "topic " + report.topic;
        if (!report.exists)
            add(name, Status::failed,
                "missing; make it with: tcptrail topics create --brokers " + config.kafka.brokers);
        else if (report.differences.empty())
            add(name, Status::ok, "as it should be");
        for (const std::string& difference : report.differences)
            add(name, Status::warning, difference);
    }
}

void Host::print_table() const {
    size_t width = 0;
    for (const Check& check : checks_)
        width = std::max(width, check.name.size());
    for (const Check& check : checks_)
        printf("%-8s %-*s  %s\n", name_of(check.status), static_cast<int>(width), check.name.c_str(),
               check.detail.c_str());
    printf("%s\n", status_ == ExitCode::ok ? "This host can run tcptrail."
                                           : "This host cannot run tcptrail as it is.");
}

void Host::print_json() const {
    nlohmann::ordered_json document;
    document["version"] = TCPTRAIL_VERSION;
    document["ok"] = status_ == ExitCode::ok;
    document["checks"] = nlohmann::ordered_json::array();
    for (const Check& check : checks_)
        document["checks"].push_back(
            {{"name", check.name}, {"status", name_of(check.status)}, {"detail", check.detail}});
    printf("%s\n", document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

}  // namespace

void add_check(CLI::App& app, Action& action) {
    struct Options {
        ConfigOptions config;
        std::string output = "table";
    };
    auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("check", "tell whether this host can run tcptrail");
    command->footer(examples);
    command->add_option("-o,--output", options->output, "form of the output")
        ->type_name("table|json")
        ->check(CLI::IsMember({"table", "json"}).description(""))
        ->capture_default_str();
    add_config_options(*command, options->config);
    command->callback([options, &action] {
        action = [options]() -> Result<ExitCode> {
            Host host;
            host.ask(options->config);
            if (options->output == "json")
                host.print_json();
            else
                host.print_table();
            return host.status();
        };
    });
}

}  // namespace tcptrail::commands
