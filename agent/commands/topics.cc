// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>

#include "agent/commands/command.h"
#include "agent/transmit/topics.h"

namespace tcptrail::commands {

namespace {

constexpr const char* examples = R"(
Examples:
  tcptrail topics create --brokers broker:9092
  tcptrail topics create --brokers broker:9092 --replication-factor 3
  tcptrail topics check --config /etc/tcptrail/tcptrail.yaml

TLS, SASL and names of topics come from the configuration (kafka.properties, kafka.topics).)";

struct TopicsOptions {
    ConfigOptions config;
    std::string brokers;
    std::optional<int> replication_factor;
};

Result<transmit::Options> kafka_options(const TopicsOptions& options) {
    ConfigOptions config_options = options.config;
    if (!options.brokers.empty()) config_options.settings.push_back("kafka.brokers=" + options.brokers);
    auto config = load_config(config_options);
    if (!config) return std::unexpected(std::move(config.error()));
    if (config->kafka.brokers.empty())
        return fail("no brokers: give --brokers or kafka.brokers", ExitCode::usage);
    return config->kafka;
}

Result<ExitCode> print(const Result<std::vector<transmit::TopicReport>>& reports) {
    if (!reports) return std::unexpected(reports.error());
    bool good = true;
    for (const transmit::TopicReport& report : *reports) {
        if (!report.exists) printf("%s: missing\n", report.topic.c_str());
        for (const std::string& difference : report.differences)
            printf("%s: %s\n", report.topic.c_str(), difference.c_str());
        good &= report.exists && report.differences.empty();
        if (report.exists && report.differences.empty())
            printf("%s: %s\n", report.topic.c_str(), report.created ? "created" : "as it should be");
    }
    return good ? ExitCode::ok : ExitCode::failure;
}

CLI::App* add_common(CLI::App& app, const char* name, const char* description, TopicsOptions& options) {
    CLI::App* command = app.add_subcommand(name, description);
    command->footer(examples);
    command->add_option("--brokers", options.brokers, "brokers to ask first; wins over kafka.brokers")
        ->type_name("HOST:PORT,…");
    add_config_options(*command, options.config);
    return command;
}

}  // namespace

void add_topics(CLI::App& app, Action& action) {
    CLI::App* command =
        app.add_subcommand("topics", "make the topics, or say how they differ from what they should be");
    command->footer(examples);
    command->require_subcommand(1);

    auto options = std::make_shared<TopicsOptions>();
    CLI::App* create = add_common(*command, "create", "make the topics that are missing", *options);
    create
        ->add_option("--replication-factor", options->replication_factor,
                     "copies (default: the brokers' own default)")
        ->type_name("N")
        ->check(CLI::Range(1, 32767).description(""));
    create->callback([options, &action] {
        action = [options]() -> Result<ExitCode> {
            const auto kafka = kafka_options(*options);
            if (!kafka) return std::unexpected(kafka.error());
            return print(transmit::create_topics(*kafka, options->replication_factor));
        };
    });
    add_common(*command, "check", "compare the topics; exit status 1 when they differ", *options)
        ->callback([options, &action] {
            action = [options]() -> Result<ExitCode> {
                const auto kafka = kafka_options(*options);
                if (!kafka) return std::unexpected(kafka.error());
                return print(transmit::check_topics(*kafka));
            };
        });
}

}  // namespace tcptrail::commands
