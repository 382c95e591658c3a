// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/base/clock.h"
#include "agent/commands/command.h"
#include "agent/encode/humanize.h"
#include "agent/encode/text.h"
#include "agent/spool/inspect.h"
#include "schemas/v1/agent.pb.h"
#include "schemas/v1/connection.pb.h"

namespace tcptrail::commands {

namespace {

constexpr const char* examples = R"(
Examples:
  tcptrail spool stat                                        what waits for Kafka, and the accounts
  tcptrail spool verify                                      checks every checksum; exit status 1 on damage
  tcptrail spool export | jq .remote_address                 the events that wait
  tcptrail spool export /var/lib/tcptrail/spool.db.corrupt-1795377413

They only read: beside a running agent, on a disk that is read-only, and files that were set aside. What the agent
delivers or merges meanwhile may be missing, or come twice.)";

struct SpoolOptions {
    ConfigOptions config;
    std::string directory;
    std::string file;
    bool json = false;
    bool set_aside = false;
};

// The spool's directory; empty when a single file was asked for.
Result<std::string> directory_of(const SpoolOptions& options) {
    if (!options.file.empty()) return std::string();
    if (!options.directory.empty()) return options.directory;
    const auto config = load_config(options.config, false);
    if (!config) return std::unexpected(config.error());
    return config->spool.directory;
}

Result<spool::Inspector> inspect(const SpoolOptions& options, const std::string& directory) {
    auto inspector = spool::Inspector::open(directory.empty() ? options.file : directory + "/spool.db");
    if (inspector && !inspector->warning().empty())
        fprintf(stderr, "tcptrail: %s\n", inspector->warning().c_str());
    return inspector;
}

using Overview = spool::Inspector::Overview;

nlohmann::ordered_json to_json(const Overview& overview, const std::vector<spool::FileSetAside>& aside) {
    nlohmann::ordered_json json;
    json["format"] = overview.format;
    json["batches"] = overview.batches;
    json["oldest_unix_nanos"] = overview.oldest_unix_nanos;
    json["newest_unix_nanos"] = overview.newest_unix_nanos;
    json["file_bytes"] = overview.file_bytes;
    json["log_bytes"] = overview.log_bytes;
    json["messages_set_aside"] = overview.messages_set_aside;
    json["has_mark"] = overview.has_mark;
    if (const auto& t = overview.totals) {
        json["held_events"] = t->events;
        json["held_bytes"] = t->bytes;
        json["in"] = t->in;
        json["released"] = t->released;
        json["lost"] = {{"too_large", t->too_large},
                        {"evicted", t->evicted},
                        {"expired", t->expired},
                        {"damaged", t->damaged},
                        {"memory_full", t->memory_full}};
    }
    json["files_set_aside"] = nlohmann::ordered_json::array();
    for (const auto& file : aside)
        json["files_set_aside"].push_back({{"path", file.path}, {"bytes", file.bytes}});
    return json;
}

std::string age(uint64_t then_unix_nanos) {
    const uint64_t now = unix_nanos();
    return encode::human_duration(now > then_unix_nanos ? (now - then_unix_nanos) / 1000 : 0);
}

// "lost 3 (evicted 3)"
std::string losses(const spool::Totals& totals) {
    uint64_t sum = 0;
    std::string reasons;
    for (const auto& [reason, count] : {Loss{"too_large", totals.too_large}, Loss{"evicted", totals.evicted},
                                        Loss{"expired", totals.expired}, Loss{"damaged", totals.damaged},
                                        Loss{"memory_full", totals.memory_full}}) {
        sum += count;
        if (count)
            reasons += (reasons.empty() ? "" : ", ") + std::string(reason) + " " + std::to_string(count);
    }
    return "lost " + std::to_string(sum) + (reasons.empty() ? "" : " (" + reasons + ")");
}

void print(const Overview& overview, const std::vector<spool::FileSetAside>& aside) {
    const auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
    if (const auto& t = overview.totals) {
        printf("holds       %llu events in %llu batches, %s as stored\n", number(t->events),
               number(overview.batches), encode::human_bytes(t->bytes).c_str());
    } else {
        printf(
            "holds       %llu batches; its accounts are damaged: the agent will set it aside and save "
            "these\n",
            number(overview.batches));
    }
    if (overview.batches > 0)
        printf("age         from %s to %s\n", age(overview.oldest_unix_nanos).c_str(),
               age(overview.newest_unix_nanos).c_str());
    printf("file        %s, log %s, format %llu\n", encode::human_bytes(overview.file_bytes).c_str(),
           encode::human_bytes(overview.log_bytes).c_str(), number(overview.format));
    printf("mark        %s\n", overview.has_mark ? "present" : "none");
    if (const auto& t = overview.totals) {
        printf("since made  in %llu = delivered %llu + held %llu + %s\n", number(t->in), number(t->released),
               number(t->events), losses(*t).c_str());
    }
    if (overview.messages_set_aside > 0)
        printf("too large   %llu messages are kept: tcptrail spool export --set-aside\n",
               number(overview.messages_set_aside));
    for (const auto& file : aside)
        printf("set aside   %s, %s\n", file.path.c_str(), encode::human_bytes(file.bytes).c_str());
}

Result<ExitCode> stat(const SpoolOptions& options) {
    const auto directory = directory_of(options);
    if (!directory) return std::unexpected(directory.error());
    auto inspector = inspect(options, *directory);
    if (!inspector) return std::unexpected(std::move(inspector.error()));
    const auto overview = inspector->overview();
    if (!overview) return std::unexpected(overview.error());
    const auto aside =
        directory->empty() ? std::vector<spool::FileSetAside>() : spool::files_set_aside(*directory);
    if (options.json)
        printf("%s\n", to_json(*overview, aside).dump().c_str());
    else
        print(*overview, aside);
    return ExitCode::ok;
}

Result<ExitCode> verify(const SpoolOptions& options) {
    const auto directory = directory_of(options);
    if (!directory) return std::unexpected(directory.error());
    auto inspector = inspect(options, *directory);
    if (!inspector) return std::unexpected(std::move(inspector.error()));
    const auto overview = inspector->overview();
    if (!overview) return std::unexpected(overview.error());
    uint64_t batches = 0, events = 0;
    nlohmann::ordered_json damaged = nlohmann::ordered_json::array();
    const auto hidden = inspector->each([&](const spool::Inspector::Found& batch) {
        batches++;
        events += batch.messages.size();
        if (batch.problem.empty()) return true;
        damaged.push_back({{"id", batch.head.id}, {"problem", batch.problem}});
        // What a damaged head says of its events means nothing.
        if (batch.head_whole) damaged.back()["events"] = batch.head.events;
        if (!options.json)
            printf("batch %llu: %s%s\n", static_cast<unsigned long long>(batch.head.id),
                   batch.problem.c_str(),
                   batch.head_whole ? (", " + std::to_string(batch.head.events) + " events").c_str() : "");
        return true;
    });
    if (!hidden) return std::unexpected(hidden.error());
    const bool whole = damaged.empty() && !*hidden && overview->totals.has_value();
    if (options.json) {
        nlohmann::ordered_json json{{"whole", whole},          {"batches", batches},
                                    {"events", events},        {"totals_whole", overview->totals.has_value()},
                                    {"pages_hidden", *hidden}, {"damaged", damaged}};
        printf("%s\n", json.dump().c_str());
    } else {
        if (!overview->totals) printf("the accounts are damaged\n");
        if (*hidden) printf("pages cannot be read: there may be more batches\n");
        printf("%llu batches with %llu events are whole, %zu are damaged\n",
               static_cast<unsigned long long>(batches - damaged.size()),
               static_cast<unsigned long long>(events), damaged.size());
    }
    return whole ? ExitCode::ok : ExitCode::failure;
}

// False: the output is closed.
bool write(encode::TextWriter& writer, const spool::MessageView& message, uint64_t& undecodable) {
    const auto print = [&](auto event) {
        if (event.ParseFromArray(message.value.data(), static_cast<int>(message.value.size())))
            return writer.write(event).has_value() || !writer.reader_is_gone();
        undecodable++;
        return true;
    };
    return message.topic == Topic::agents ? print(v1::AgentReport()) : print(v1::ConnectionEvent());
}

Result<ExitCode> export_events(const SpoolOptions& options) {
    const auto directory = directory_of(options);
    if (!directory) return std::unexpected(directory.error());
    auto inspector = inspect(options, *directory);
    if (!inspector) return std::unexpected(std::move(inspector.error()));
    encode::TextWriter writer(encode::TextFormat::jsonl, stdout);
    uint64_t damaged = 0, undecodable = 0;
    if (options.set_aside) {
        const auto refused = inspector->each_set_aside(
            [&](const spool::MessageView& message) { return write(writer, message, undecodable); });
        if (!refused) return std::unexpected(refused.error());
        if (auto written = writer.flush(); !written && !writer.reader_is_gone())
            return std::unexpected(written.error());
        if (*refused > 0 || undecodable > 0)
            fprintf(stderr, "tcptrail: left out: %llu messages that are damaged\n",
                    static_cast<unsigned long long>(*refused) + undecodable);
        return *refused > 0 || undecodable > 0 ? ExitCode::failure : ExitCode::ok;
    }
    const auto hidden = inspector->each([&](const spool::Inspector::Found& batch) {
        if (!batch.problem.empty()) damaged++;
        for (const spool::MessageView& message : batch.messages)
            if (!write(writer, message, undecodable)) return false;
        return true;
    });
    if (!hidden) return std::unexpected(hidden.error());
    if (auto written = writer.flush(); !written)
        return writer.reader_is_gone() ? Result<ExitCode>(ExitCode::ok) : std::unexpected(written.error());
    if (damaged > 0 || undecodable > 0 || *hidden)
        fprintf(stderr, "tcptrail: left out: %llu damaged batches, %llu messages that are no events%s\n",
                static_cast<unsigned long long>(damaged), static_cast<unsigned long long>(undecodable),
                *hidden ? ", and what lies on pages that cannot be read" : "");
    return damaged > 0 || undecodable > 0 || *hidden ? ExitCode::failure : ExitCode::ok;
}

CLI::App* add_common(CLI::App& app, const char* name, const char* description, SpoolOptions& options) {
    CLI::App* command = app.add_subcommand(name, description);
    command->footer(examples);
    auto* file = command->add_option("file", options.file, "a single file, such as one that was set aside");
    command->add_option("--directory", options.directory, "the spool (default: spool.directory)")
        ->type_name("DIR")
        ->excludes(file);
    add_config_options(*command, options.config);
    return command;
}

void add_format(CLI::App& command, SpoolOptions& options) {
    command
        .add_option_function<std::string>(
            "-o,--output", [&options](const std::string& format) { options.json = format == "json"; },
            "form of the output (default: text)")
        ->type_name("text|json")
        ->check(CLI::IsMember({"text", "json"}).description(""));
}

}  // namespace

void add_spool(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("spool", "look into the store of events that wait for Kafka");
    command->footer(examples);
    command->require_subcommand(1);
    auto options = std::make_shared<SpoolOptions>();
    CLI::App* stat_command =
        add_common(*command, "stat", "what it holds, and what became of all that it ever held", *options);
    add_format(*stat_command, *options);
    stat_command->callback([options, &action] { action = [options] { return stat(*options); }; });
    CLI::App* verify_command =
        add_common(*command, "verify", "read every batch; exit status 1 when one is damaged", *options);
    add_format(*verify_command, *options);
    verify_command->callback([options, &action] { action = [options] { return verify(*options); }; });
    CLI::App* export_command =
        add_common(*command, "export", "print the events as JSON lines, oldest first", *options);
    export_command->add_flag("--set-aside", options->set_aside,
                             "those instead that the brokers refused as too large");
    export_command->callback([options, &action] { action = [options] { return export_events(*options); }; });
}

}  // namespace tcptrail::commands
