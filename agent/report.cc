// SPDX-License-Identifier: Apache-2.0
#include "agent/report.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <tuple>
#include <utility>
#include <vector>

#include "agent/base/clock.h"
#include "agent/connections/addresses.h"
#include "agent/connections/listener.h"
#include "agent/connections/untold.h"
#include "agent/encode/event.h"
#include "agent/encode/listener.h"
#include "agent/encode/printable.h"
#include "agent/encode/untold.h"
#include "version.h"

namespace tcptrail {

namespace {

constexpr size_t most_listeners = 256;

struct Lost {
    const char* reason;
    uint64_t count;
};

void add_stage(v1::AgentReport& report, const char* name, uint64_t in, uint64_t out, uint64_t held,
               std::initializer_list<Lost> losses) {
    v1::Stage& stage = *report.add_stages();
    stage.set_name(name);
    stage.set_in(in);
    stage.set_out(out);
    stage.set_held(held);
    for (const Lost& lost : losses) {
        if (!lost.count) continue;
        stage.add_lost()->set_reason(lost.reason);
        stage.mutable_lost()->rbegin()->set_count(lost.count);
    }
}

double seconds_of(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

void set_usage(v1::AgentReport& report, const capture::Capture::Runs& runs) {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    report.set_cpu_user_seconds(seconds_of(usage.ru_utime));
    report.set_cpu_system_seconds(seconds_of(usage.ru_stime));
    report.set_recursion_misses(runs.recursion_misses);
    if (runs.run_time_ns) report.set_cpu_bpf_seconds(static_cast<double>(runs.run_time_ns) / 1e9);
    uint64_t pages = 0;
    std::ifstream statm("/proc/self/statm");
    if (statm >> pages >> pages)
        report.set_memory_bytes(pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
}

void set_hooks(v1::AgentReport& report, const capture::Capture& capture) {
    for (const capture::HookStatus& status : capture.hooks()) {
        v1::Hook& hook = *report.add_hooks();
        hook.set_name(status.plan->name);
        hook.set_attached(status.attached);
        hook.set_problem(encode::repaired_utf8(status.problem));
    }
    for (const capture::MissingFact& missing : capture::missing_facts(capture.hooks()))
        report.add_missing_facts(missing.fact);
}

void set_gaps(v1::AgentReport& report, const capture::Capture& capture) {
    for (const capture::Gap& gap : capture.gaps()) {
        v1::CaptureGap& told = *report.add_capture_gaps();
        told.set_from_unix_nanos(gap.from_unix_ns);
        told.set_until_unix_nanos(gap.until_unix_ns);
        told.set_reason(encode::repaired_utf8(gap.reason));
    }
}

void set_counts(v1::AgentReport& report, const capture::Capture& capture) {
    const auto counts = capture.counts();
    if (!counts) return;
    report.set_bind_failures_untold((*counts)[TCPTRAIL_BIND_FAILURES_NOT_STORED]);
    report.set_synack_retransmits((*counts)[TCPTRAIL_SYNACK_RETRANSMITS]);
}

void set_untold(v1::AgentReport& report, const capture::Capture& capture) {
    const auto totals = capture.untold();
    if (!totals) return;
    for (const connections::Untold& untold : connections::classify_untold(*totals))
        *report.add_untold() = encode::untold_message(untold);
}

void set_bind_failures(v1::AgentReport& report, const capture::Capture& capture) {
    const auto failures = capture.bind_failures();
    if (!failures) return;
    for (const auto& [key, failure] : *failures) {
        v1::BindFailure& told = *report.add_bind_failures();
        told.set_pid(key.pid);
        told.set_name(
            encode::repaired_utf8(std::string(failure.name, strnlen(failure.name, sizeof failure.name))));
        told.set_netns(key.netns);
        // Written as the ends of connections are: IPv4-mapped addresses as IPv4.
        tcptrail_addresses addresses{};
        std::copy(std::begin(key.address), std::end(key.address), addresses.remote);
        addresses.family = key.family;
        connections::Connection connection;
        connections::set_addresses(connection, addresses);
        told.set_address(encode::address_text(connection.remote, connection.ipv6, 0));
        told.set_port(key.port);
        told.set_error_number(static_cast<uint32_t>(key.error));
        if (const char* symbol = strerrorname_np(key.error)) told.set_error(symbol);
        told.set_count(failure.count);
        told.set_last_unix_nanos(failure.last_ns + boot_to_unix_offset());
    }
}

// Those with drops or a full queue first, then by what waits.
void set_listeners(v1::AgentReport& report, Pipeline& pipeline, const Audit& audit) {
    std::vector<v1::Listener> all;
    const uint64_t boot_to_unix = boot_to_unix_offset();
    const auto walked = pipeline.capture().listeners([&](const tcptrail_listener_record& record) {
        const auto listener = connections::listener_of(record, boot_to_unix);
        all.push_back(encode::listener_message(listener, pipeline.context().find(listener.owner),
                                               audit.counts_of(listener.netns)));
    });
    if (!walked) return;
    const size_t shown = std::min(all.size(), most_listeners);
    const auto trouble = [](const v1::Listener& listener) {
        const bool full = listener.accept_queue() > listener.accept_queue_limit();
        return std::tuple(full, listener.drops(), listener.accept_queue());
    };
    std::ranges::partial_sort(all, all.begin() + static_cast<ptrdiff_t>(shown), std::greater{}, trouble);
    for (size_t i = 0; i < shown; ++i)
        *report.add_listeners() = std::move(all[i]);
    report.set_listeners_untold(static_cast<uint32_t>(all.size() - shown));
}

void set_stages(v1::AgentReport& report, const Pipeline& pipeline, const std::optional<Delivery>& delivery) {
    const capture::Capture& capture = pipeline.capture();
    if (const auto account = pipeline.account()) {
        const uint64_t received = capture.received.get(), walked = capture.walked.get();
        // What the rings cannot hold is not in them: then the account does not fit, and Balance says so.
        const uint64_t in_ring = std::min(account->in_ring, capture.unread_at_most());
        add_stage(report, "capture", account->seen + walked, received + walked, in_ring,
                  {{"ring_full", account->ring_full}});
        add_stage(report, "connections", received + walked, account->told + account->progress, 0,
                  {{"malformed", account->malformed + capture.walked_malformed.get()}});
    }
    const Checkpoint checkpoint = pipeline.checkpoint();
    // A report is its own last message.
    const bool is_message = delivery && report.reason() != v1::REPORT_REASON_ASKED;
    const uint64_t waiting = (delivery ? delivery->waiting : 0) + (is_message ? 1 : 0);
    add_stage(report, "encode", checkpoint.messages(),
              checkpoint.messages() - checkpoint.lost_with_memory - waiting, waiting,
              {{"killed", checkpoint.lost_with_memory}});
    if (!delivery) return;
    const auto& [_, spool, transmit] = *delivery;
    add_stage(report, "spool", spool.in, spool.released, spool.held,
              {{"too_large", spool.too_large},
               {"evicted", spool.evicted},
               {"expired", spool.expired},
               {"damaged", spool.damaged},
               {"memory_full", spool.memory_full}});
    add_stage(report, "transmit", transmit.taken, transmit.acknowledged, transmit.held,
              {{"too_large", transmit.too_large}});
}

void set_delivery(v1::AgentReport& report, const spool::SpoolStats& spool,
                  const transmit::TransmitStatus& transmit) {
    report.set_spool_bytes(spool.held_bytes);
    report.set_spool_events(spool.held);
    report.set_spool_files_set_aside(spool.files_set_aside);
    report.set_spool_problem(encode::repaired_utf8(spool.problem));
    v1::Kafka& kafka = *report.mutable_kafka();
    kafka.set_queued(transmit.queued);
    kafka.set_acknowledged(transmit.acknowledged);
    kafka.set_failed(transmit.failed);
    kafka.set_last_error(encode::repaired_utf8(transmit.last_error));
    if (transmit.last_error_unix_nanos) kafka.set_last_error_unix_nanos(transmit.last_error_unix_nanos);
    kafka.set_problem(encode::repaired_utf8(transmit.problem));
    kafka.set_connected(transmit.connected);
}

void set_api_server(v1::AgentReport& report, const cluster::Status& status) {
    static_assert(int(cluster::Contact::starting) + 1 == v1::CONTACT_STARTING);
    static_assert(int(cluster::Contact::denied) + 1 == v1::CONTACT_DENIED);
    v1::ApiServer& told = *report.mutable_api_server();
    told.set_contact(static_cast<v1::Contact>(int(status.pods) + 1));
    told.set_problem(encode::repaired_utf8(status.problem));
    told.set_lists(status.lists);
    told.set_watches(status.watches);
    told.set_owners(status.owners);
    told.set_failures(status.failures);
    told.set_pods(status.known_pods);
    told.set_services(status.known_services);
    told.set_nodes(status.known_nodes);
}

}  // namespace

v1::AgentReport Reporter::report(v1::ReportReason reason, const std::optional<Delivery>& delivery) {
    const context::Host& host = pipeline_.host();
    const capture::Capture& capture = pipeline_.capture();
    v1::AgentReport report;
    report.set_host_id(host.host_id);
    report.set_node(encode::repaired_utf8(host.node));
    report.set_boot_id(host.boot_id);
    report.set_run_id(host.run_id);
    const bool is_message = delivery && reason != v1::REPORT_REASON_ASKED;
    report.set_sequence(is_message ? pipeline_.next_report() : pipeline_.checkpoint().reports);
    report.set_starts(pipeline_.starts());
    report.set_emitted_unix_nanos(unix_nanos());
    report.set_reason(reason);
    report.set_uptime_us((monotonic_nanos() - started_ns_) / 1000);
    report.set_version(TCPTRAIL_VERSION);
    report.set_kernel(host.kernel);
    set_hooks(report, capture);
    set_gaps(report, capture);
    set_stages(report, pipeline_, delivery);
    set_counts(report, capture);
    set_untold(report, capture);
    set_bind_failures(report, capture);
    set_listeners(report, pipeline_, audit_);
    audit_.fill(report);
    report.set_ring_bytes(capture.ring_bytes());
    report.set_ring_used_bytes(capture.ring_used_bytes());
    report.set_overflow_used_records(capture.overflow_used());
    if (delivery) set_delivery(report, delivery->spool, delivery->transmit);
    if (const auto* cluster = pipeline_.context().cluster()) set_api_server(report, cluster->status());
    set_usage(report, capture.runs());
    report.set_connections_last_sequence(pipeline_.last_sequence());
    check(report);
    return report;
}

void Reporter::check(v1::AgentReport& report) {
    const std::vector<std::string> violations = balance_.check(report);
    if (!violations.empty()) ++violated_;
    for (const std::string& violation : violations)
        report.add_audit_violations(violation);
    report.set_audit_violated(violated_);
}

Message to_message(const v1::AgentReport& report) {
    Message message{Topic::agents, report.host_id(), {}};
    report.SerializeToString(&message.value);
    return message;
}

}  // namespace tcptrail
