// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/evidence.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "agent/base/clock.h"
#include "agent/encode/humanize.h"
#include "agent/encode/printable.h"

namespace tcptrail::commands {

namespace {

using transmit::Consumer;

// A record bears the time at which its agent handed it to the client. It may be appended later, behind those
// of other agents, and clocks differ: longer than most brokers are away, shorter than any retention.
constexpr uint64_t slack_nanos = 600ull * 1'000'000'000;

constexpr std::chrono::seconds first_record_timeout{10};

}  // namespace

void RunAccounts::add(const v1::AgentReport& report) {
    RunAccount& run = runs_[report.run_id()];
    if (report.starts() <= 1) run.began_unix_nanos = report.emitted_unix_nanos() - report.uptime_us() * 1000;
    if (report.sequence() < run.sequence) return;
    run.sequence = report.sequence();
    run.emitted_unix_nanos = report.emitted_unix_nanos();
    run.last_sequence = report.connections_last_sequence();
    run.waiting = report.spool_events();
    run.stopped = report.reason() == v1::REPORT_REASON_STOP;
    run.lost.clear();
    for (const v1::Stage& stage : report.stages())
        for (const v1::Loss& loss : stage.lost())
            if (loss.count() > 0)
                run.lost.push_back(fmt::format("{} {} {}", encode::printable(stage.name()),
                                               encode::printable(loss.reason()), loss.count()));
}

std::string explanation(const RunAccount& account, uint64_t now_unix_nanos) {
    const uint64_t age_us = (now_unix_nanos - std::min(now_unix_nanos, account.emitted_unix_nanos)) / 1000;
    return fmt::format("its agent's last report, {} ago{}: {} event{} not acknowledged yet; lost so far: {}",
                       encode::human_duration(age_us), account.stopped ? ", as it stopped" : "",
                       account.waiting, account.waiting == 1 ? "" : "s",
                       account.lost.empty() ? "nothing" : fmt::format("{}", fmt::join(account.lost, ", ")));
}

Result<RunAccounts> read_accounts(const transmit::Options& kafka, const std::string& topic,
                                  const std::atomic<bool>& stop) {
    auto consumer = Consumer::open(kafka, {.topic = topic, .from_beginning = true, .to_end = true});
    if (!consumer) return std::unexpected(std::move(consumer.error()));
    RunAccounts accounts;
    v1::AgentReport report;
    auto ran = (*consumer)->run(
        [&](const transmit::Record& record) {
            if (report.ParseFromArray(record.value.data(), static_cast<int>(record.value.size())))
                accounts.add(report);
            return true;
        },
        stop);
    if (!ran) return std::unexpected(std::move(ran.error()));
    return accounts;
}

Result<std::optional<uint64_t>> complete_since(const transmit::Options& kafka, const std::string& topic,
                                               const std::vector<Consumer::Partition>& partitions,
                                               const std::atomic<bool>& stop) {
    std::set<int32_t> unknown;
    for (const Consumer::Partition& partition : partitions)
        if (partition.low > 0) unknown.insert(partition.id);
    if (unknown.empty()) return std::nullopt;

    // An empty partition may have lost what was appended just now.
    uint64_t since = unix_nanos();
    const bool some_are_empty = std::ranges::any_of(
        partitions, [](const Consumer::Partition& p) { return p.low > 0 && p.low == p.high; });
    if (some_are_empty) return since;

    auto consumer = Consumer::open(kafka, {.topic = topic, .from_beginning = true, .to_end = true});
    if (!consumer) return std::unexpected(std::move(consumer.error()));
    int64_t latest_millis = 0;
    const auto until = std::chrono::steady_clock::now() + first_record_timeout;
    auto ran = (*consumer)->run(
        [&](const transmit::Record& record) {
            if (unknown.erase(record.partition) > 0)
                latest_millis = std::max(latest_millis, record.timestamp_unix_millis);
            return !unknown.empty();
        },
        stop, until);
    if (!ran) return std::unexpected(std::move(ran.error()));
    if (unknown.empty() && latest_millis > 0)
        since = std::min(since, static_cast<uint64_t>(latest_millis) * 1'000'000 + slack_nanos);
    return since;
}

}  // namespace tcptrail::commands
