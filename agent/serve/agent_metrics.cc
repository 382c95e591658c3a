// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/agent_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace tcptrail::serve {

namespace {

// Each is there from the beginning, so that its first loss is an increase.
constexpr struct {
    const char* stage;
    const char* reason;
} loss_reasons[] = {{"capture", "ring_full"}, {"connections", "malformed"}, {"encode", "killed"},
                    {"spool", "too_large"},   {"spool", "evicted"},         {"spool", "expired"},
                    {"spool", "damaged"},     {"spool", "memory_full"},     {"transmit", "too_large"}};

std::string label(const char* name, std::string_view value) {
    return Labels().add(name, value).text();
}

void write_identity(Exposition& to, const v1::AgentReport& report) {
    to.gauge("tcptrail_build_info", "1; its labels say which agent this is.");
    to.integer(Labels()
                   .add("version", report.version())
                   .add("kernel", report.kernel())
                   .add("node", report.node())
                   .add("host_id", report.host_id())
                   .text(),
               1);
    to.gauge("tcptrail_ready", "1: /readyz answers 200; 0: it answers 503.");
    to.integer("", not_ready(report).empty());
    to.gauge("tcptrail_config_loaded_timestamp_seconds",
             "When the configuration in force was read, at the start or by a reload, since 1970.");
    if (report.configured_unix_nanos())
        to.real("", static_cast<double>(report.configured_unix_nanos()) / 1e9);
    to.counter("tcptrail_config_reloads_failed_total",
               "Reloads after which the configuration before was in force, since the process started.");
    to.integer("", report.reloads_failed());
}

void write_stages(Exposition& to, const v1::AgentReport& report) {
    const auto each = [&](auto figure) {
        for (const v1::Stage& stage : report.stages())
            to.integer(label("stage", stage.name()), figure(stage));
    };
    to.counter("tcptrail_stage_in_total", "What a stage took; in = out + held + lost.");
    each([](const v1::Stage& stage) { return stage.in(); });
    to.counter("tcptrail_stage_out_total", "What a stage gave to the next one.");
    each([](const v1::Stage& stage) { return stage.out(); });
    to.gauge("tcptrail_stage_held", "What is inside a stage now.");
    each([](const v1::Stage& stage) { return stage.held(); });
    to.counter("tcptrail_stage_lost_total", "What a stage lost, by reason.");
    for (const v1::Stage& stage : report.stages()) {
        std::map<std::string, uint64_t> lost;
        for (const auto& [name, reason] : loss_reasons)
            if (stage.name() == name) lost[reason] = 0;
        for (const v1::Loss& loss : stage.lost())
            lost[loss.reason()] += loss.count();
        for (const auto& [reason, count] : lost)
            to.integer(Labels().add("stage", stage.name()).add("reason", reason).text(), count);
    }
}

void write_untold(Exposition& to, const v1::AgentReport& report) {
    const auto each = [&](auto figure) {
        for (const v1::Untold& untold : report.untold())
            to.integer(Labels()
                           .add("role", untold.role())
                           .add("outcome", untold.outcome())
                           .add("end", untold.end())
                           .text(),
                       figure(untold));
    };
    to.counter("tcptrail_untold_connections_total",
               "Connections and attempts lost by ring_full, of which this much is known.");
    each([](const v1::Untold& untold) { return untold.lifecycles(); });
}

void write_capture(Exposition& to, const v1::AgentReport& report) {
    to.gauge("tcptrail_hook_attached", "1: the hook is attached to the kernel; 0: it is not.");
    // Programs that stand in for each other have one hook.
    std::map<std::string_view, bool> attached;
    for (const v1::Hook& hook : report.hooks())
        attached[hook.name()] |= hook.attached();
    for (const auto& [hook, is_attached] : attached)
        to.integer(label("hook", hook), is_attached);
    to.gauge("tcptrail_capture_gaps", "Times known, at most 64, in which connections may be missing.");
    to.integer("", static_cast<uint64_t>(report.capture_gaps_size()));
    // Their number tells nothing of an agent that has begun anew; when the last one ended does.
    uint64_t ended_unix_nanos = 0;
    for (const v1::CaptureGap& gap : report.capture_gaps())
        ended_unix_nanos = std::max(ended_unix_nanos, gap.until_unix_nanos());
    to.gauge("tcptrail_capture_gap_last_timestamp_seconds",
             "When the last of them ended, since 1970; absent: there was none.");
    if (ended_unix_nanos) to.real("", static_cast<double>(ended_unix_nanos) / 1e9);
    to.gauge("tcptrail_capture_ratio", "What was told, of what the kernel counted, since the agent started.");
    if (report.has_capture_ratio()) to.real("", report.capture_ratio());
    to.counter("tcptrail_capture_told_total", "Lifecycles told, or open and known, as of the last look.");
    if (report.has_lifecycles_told()) to.integer("", report.lifecycles_told());
    to.counter("tcptrail_capture_counted_total",
               "The same as counted by the kernel: ActiveOpens + PassiveOpens.");
    if (report.has_lifecycles_counted()) to.integer("", report.lifecycles_counted());
    to.gauge("tcptrail_ring_size_bytes", "Size of the ring between kernel and agent.");
    to.integer("", report.ring_bytes());
    to.gauge("tcptrail_ring_used_bytes", "What of the ring is not released.");
    if (report.has_ring_used_bytes()) to.integer("", report.ring_used_bytes());
    to.gauge("tcptrail_ring_overflow_records", "Records that wait beyond the ring.");
    to.integer("", report.overflow_used_records());
    to.counter("tcptrail_bpf_run_seconds_total",
               "Time in BPF programs; absent unless kernel.bpf_stats_enabled.");
    if (report.has_cpu_bpf_seconds()) to.real("", report.cpu_bpf_seconds());
    to.counter("tcptrail_bpf_recursion_misses_total", "Runs of hooks that the kernel left out.");
    if (report.has_recursion_misses()) to.integer("", report.recursion_misses());
    to.counter("tcptrail_synack_retransmits_total",
               "SYN-ACKs sent again, also for attempts that never became a connection.");
    to.integer("", report.synack_retransmits());
}

void write_bind_failures(Exposition& to, const v1::AgentReport& report) {
    std::map<std::string, uint64_t> by_error{{"EADDRINUSE", 0}, {"EADDRNOTAVAIL", 0}, {"EACCES", 0}};
    for (const v1::BindFailure& failure : report.bind_failures())
        by_error[failure.error().empty() ? fmt::format("{}", failure.error_number()) : failure.error()] +=
            failure.count();
    by_error["unknown"] = report.bind_failures_untold();
    to.counter("tcptrail_bind_failures_total", "Addresses that bind() was refused, by errno.");
    for (const auto& [error, count] : by_error)
        to.integer(label("error_type", error), count);
}

void write_audit(Exposition& to, const v1::AgentReport& report) {
    to.gauge("tcptrail_audit_violations", "What does not hold in the agent's accounts now: a fault of it.");
    to.integer("", static_cast<uint64_t>(report.audit_violations_size()));
    to.counter("tcptrail_audit_violated_total", "Accounts that did not fit since the agent started.");
    to.integer("", report.audit_violated());
}

void write_delivery(Exposition& to, const v1::AgentReport& report) {
    const bool has_spool = report.has_spool_events(), has_kafka = report.has_kafka();
    const v1::Kafka& kafka = report.kafka();
    to.gauge("tcptrail_spool_events", "Events and reports that wait for Kafka.");
    if (has_spool) to.integer("", report.spool_events());
    to.gauge("tcptrail_spool_size_bytes", "What they take, as stored.");
    if (has_spool) to.integer("", report.spool_bytes());
    to.gauge("tcptrail_spool_size_limit_bytes", "With more than so much the oldest go: spool.max_bytes.");
    if (report.has_spool_max_bytes()) to.integer("", report.spool_max_bytes());
    to.gauge("tcptrail_spool_memory_limit_bytes",
             "Room for what the disk does not take: spool.memory_bytes.");
    if (report.has_spool_memory_bytes()) to.integer("", report.spool_memory_bytes());
    to.gauge("tcptrail_spool_healthy", "1: the disk takes events; 0: they wait in memory, or the oldest go.");
    if (has_spool) to.integer("", report.spool_problem().empty());
    to.counter("tcptrail_spool_files_set_aside_total",
               "Files of the spool that were no good, and were renamed, since it was opened.");
    if (has_spool) to.integer("", report.spool_files_set_aside());
    to.gauge("tcptrail_kafka_connected",
             "1: a broker has stored a message since the agent began to send, and not all were lost since.");
    if (has_kafka) to.integer("", kafka.connected());
    to.gauge("tcptrail_kafka_healthy", "1: nothing is known to keep messages from being acknowledged.");
    if (has_kafka) to.integer("", kafka.problem().empty());
    to.gauge("tcptrail_kafka_queued_messages", "Sent, and neither acknowledged nor failed.");
    if (has_kafka) to.integer("", kafka.queued());
    to.counter("tcptrail_kafka_acknowledged_total", "Messages that Kafka has stored.");
    if (has_kafka) to.integer("", kafka.acknowledged());
    to.counter("tcptrail_kafka_failed_total", "Messages that failed, and were sent again.");
    if (has_kafka) to.integer("", kafka.failed());
}

// Without samples where nobody asks a cluster.
void write_api_server(Exposition& to, const v1::AgentReport& report) {
    const bool is_asked = report.has_api_server();
    const v1::ApiServer& server = report.api_server();
    const auto each = [&](std::initializer_list<std::pair<const char*, uint64_t>> kinds) {
        for (const auto& [kind, count] : kinds)
            if (is_asked) to.integer(label("kind", kind), count);
    };
    to.gauge("tcptrail_kubernetes_api_healthy", "1: all that is watched at the API server is current.");
    if (is_asked) to.integer("", server.contact() == v1::CONTACT_CURRENT && server.problem().empty());
    to.counter("tcptrail_kubernetes_api_requests_total", "Requests to the API server.");
    each({{"list", server.lists()}, {"watch", server.watches()}, {"owner", server.owners()}});
    to.counter("tcptrail_kubernetes_api_failures_total", "Of these, those that failed.");
    if (is_asked) to.integer("", server.failures());
    to.gauge("tcptrail_kubernetes_objects", "What is known of the cluster.");
    each({{"pod", server.pods()}, {"service", server.services()}, {"node", server.nodes()}});
}

}  // namespace

void write_agent(Exposition& to, const v1::AgentReport& report) {
    write_identity(to, report);
    write_stages(to, report);
    write_untold(to, report);
    write_capture(to, report);
    write_bind_failures(to, report);
    write_audit(to, report);
    write_delivery(to, report);
    write_api_server(to, report);
}

std::string not_ready(const v1::AgentReport& report) {
    if (std::ranges::none_of(report.hooks(), &v1::Hook::attached)) return "no hook is attached to the kernel";
    // The stages behind it count for themselves, and are there all the same.
    if (std::ranges::find(report.stages(), "capture", &v1::Stage::name) == report.stages().end())
        return "the counts of the kernel side cannot be read";
    const std::string& spool = report.spool_problem();
    const std::string& kafka = report.kafka().problem();
    const bool delivers = report.kafka().connected() && kafka.empty();
    if (spool.empty() || delivers) return {};
    return fmt::format("events are neither stored nor delivered: spool: {}; Kafka: {}", spool,
                       kafka.empty() ? "no broker has answered" : kafka);
}

}  // namespace tcptrail::serve
