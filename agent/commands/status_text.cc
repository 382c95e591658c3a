// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/status_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "agent/encode/humanize.h"
#include "agent/encode/printable.h"

namespace tcptrail::commands {

namespace {

std::string age(uint64_t then_unix_nanos, uint64_t now_unix_nanos) {
    return encode::human_duration((now_unix_nanos - std::min(then_unix_nanos, now_unix_nanos)) / 1000);
}

std::string hooks_line(const v1::AgentReport& report) {
    const auto attached = std::ranges::count_if(report.hooks(), &v1::Hook::attached);
    return fmt::format("{} of {} attached; {}", attached, report.hooks_size(),
                       report.missing_facts().empty()
                           ? "nothing is missing"
                           : fmt::format("missing: {}", fmt::join(report.missing_facts(), "; ")));
}

std::string spool_line(const v1::AgentReport& report) {
    const uint64_t set_aside = report.spool_files_set_aside();
    return fmt::format("{} events and reports wait, {}{}{}", report.spool_events(),
                       encode::human_bytes(report.spool_bytes()),
                       report.spool_problem().empty() ? "" : "; not stored on the disk",
                       set_aside == 0 ? "" : fmt::format("; {} damaged files set aside", set_aside));
}

std::string kafka_line(const v1::Kafka& kafka, uint64_t now_unix_nanos) {
    std::string line = fmt::format("{}; {} acknowledged, {} sent and not yet, {} failed and sent again",
                                   kafka.connected() ? "connected" : "not connected", kafka.acknowledged(),
                                   kafka.queued(), kafka.failed());
    if (!kafka.last_error().empty())
        line += fmt::format("; last error {} ago: {}", age(kafka.last_error_unix_nanos(), now_unix_nanos),
                            kafka.last_error());
    return line;
}

std::string api_server_line(const v1::ApiServer& server) {
    const char* contact = server.contact() == v1::CONTACT_CURRENT    ? "current"
                          : server.contact() == v1::CONTACT_STARTING ? "starting"
                          : server.contact() == v1::CONTACT_DENIED   ? "denied"
                                                                     : "out of touch";
    return fmt::format("{}; {} pods, {} services, {} nodes known; {} requests, {} failed", contact,
                       server.pods(), server.services(), server.nodes(),
                       server.lists() + server.watches() + server.owners(), server.failures());
}

std::string stages_table(const v1::AgentReport& report) {
    std::string table =
        fmt::format("\n{:<12} {:>14} {:>14} {:>10} {:>10}\n", "STAGE", "IN", "OUT", "HELD", "LOST");
    for (const v1::Stage& stage : report.stages()) {
        uint64_t lost = 0;
        std::string reasons;
        for (const v1::Loss& loss : stage.lost()) {
            lost += loss.count();
            reasons += fmt::format("{}{} {}", reasons.empty() ? "  " : ", ", loss.reason(), loss.count());
        }
        table += fmt::format("{:<12} {:>14} {:>14} {:>10} {:>10}{}\n", stage.name(), stage.in(), stage.out(),
                             stage.held(), lost, reasons);
    }
    return table;
}

// The stages behind it count for themselves, and are there also where the kernel side's counts cannot be
// read.
bool has_accounts(const v1::AgentReport& report) {
    return std::ranges::find(report.stages(), "capture", &v1::Stage::name) != report.stages().end();
}

std::string audit_line(const v1::AgentReport& report) {
    if (!report.audit_violations().empty())
        return fmt::format("violated: {}", fmt::join(report.audit_violations(), "; "));
    if (report.audit_violated() > 0)
        return fmt::format("holds now; {} accounts since the agent started did not", report.audit_violated());
    if (!has_accounts(report)) return "the counts cannot be read";
    return "holds: at every stage in = out + held + lost, and each takes what the one before gave";
}

}  // namespace

std::vector<std::string> problems_of(const v1::AgentReport& report) {
    std::vector<std::string> problems;
    if (report.audit_violated() > 0 || !report.audit_violations().empty())
        problems.emplace_back("the accounts did not fit");
    if (!has_accounts(report)) problems.emplace_back("there are no accounts");
    if (std::ranges::none_of(report.hooks(), &v1::Hook::attached))
        problems.emplace_back("no hook is attached");
    if (!report.spool_problem().empty()) problems.push_back("spool: " + report.spool_problem());
    const v1::Kafka& kafka = report.kafka();
    if (!kafka.problem().empty())
        problems.push_back("Kafka: " + kafka.problem());
    else if (kafka.has_connected() && !kafka.connected())  // older agents do not say
        problems.emplace_back(kafka.acknowledged() ? "Kafka: no broker is left"
                                                   : "Kafka: no broker has stored anything yet");
    if (!report.api_server().problem().empty())
        problems.push_back("Kubernetes: " + report.api_server().problem());
    return problems;
}

std::string status_text(const v1::AgentReport& report, uint64_t now_unix_nanos) {
    std::string text;
    const auto line = [&text](const char* title, const std::string& value) {
        text += fmt::format("{:<10}  {}\n", title, encode::printable(value));
    };
    line("agent", fmt::format("tcptrail {} on {}, Linux {}; for {}", report.version(), report.node(),
                              report.kernel(), encode::human_duration(report.uptime_us())));
    line("run", fmt::format("{}, {} events told{}", report.run_id(), report.connections_last_sequence(),
                            report.starts() > 1 ? fmt::format(", by {} agents", report.starts()) : ""));
    line("hooks", hooks_line(report));
    line("ring", fmt::format("{} of {} used{}", encode::human_bytes(report.ring_used_bytes()),
                             encode::human_bytes(report.ring_bytes()),
                             report.overflow_used_records()
                                 ? fmt::format(", {} records beyond it", report.overflow_used_records())
                                 : ""));
    if (report.has_spool_events()) line("spool", spool_line(report));
    line("Kafka",
         report.has_kafka() ? kafka_line(report.kafka(), now_unix_nanos) : "not set: events are printed");
    if (report.has_api_server()) line("Kubernetes", api_server_line(report.api_server()));
    if (report.has_capture_ratio())
        line("capture", fmt::format("{:.4f} of what the kernel has counted", report.capture_ratio()));
    line("cost", fmt::format("{} of processor time, {} of memory",
                             encode::human_duration(static_cast<uint64_t>(
                                 (report.cpu_user_seconds() + report.cpu_system_seconds()) * 1e6)),
                             encode::human_bytes(report.memory_bytes())));
    text += stages_table(report) + "\n";
    line("audit", audit_line(report));
    const auto problems = problems_of(report);
    line("health", problems.empty() ? "ok" : fmt::format("degraded: {}", fmt::join(problems, "; ")));
    return text;
}

}  // namespace tcptrail::commands
