// SPDX-License-Identifier: Apache-2.0
#include "agent/pipeline.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "agent/base/clock.h"

namespace tcptrail {

namespace {

// 34 MB at most. Beyond it records wait in the ring, and are lost and counted when that is full.
constexpr size_t most_backlog = 65536;
// At 50 us each for JSON this is 6 ms, while the default ring holds 100 ms at full speed.
constexpr size_t records_between_drains = 128;

// Rather some small walks than a long one: so often within the interval.
constexpr int walks_per_interval = 10;
constexpr std::chrono::nanoseconds longest_walk_interval = std::chrono::seconds(30);
// What signals, timers and reports wait for at most.
constexpr std::chrono::nanoseconds longest_walk = std::chrono::milliseconds(100);

connections::Kernel kernel_of(const capture::Capture& capture) {
    const bool tells_retransmits = std::ranges::any_of(capture.hooks(), [](const capture::HookStatus& hook) {
        return hook.attached && std::string_view(hook.plan->name) == "tp_btf/tcp_retransmit_skb";
    });
    return {capture.hz(), capture.reset_reasons(), tells_retransmits};
}

}  // namespace

Pipeline::Pipeline(const Config& config, Sink sink)
    : sink_(std::move(sink)),
      options_(config.connections),
      host_(context::identify_host(config.context.proc, config.node)),
      context_(config.context),
      encoder_(host_) {}

Result<std::unique_ptr<Pipeline>> Pipeline::start(const Config& config, Sink sink) {
    std::unique_ptr<Pipeline> pipeline(new Pipeline(config, std::move(sink)));
    capture::Options options = config.capture;
    options.tell_opened = config.connections.opened;
    auto capture = capture::Capture::start(options, [self = pipeline.get()](const tcptrail_record& record) {
        self->backlog_.push_back(record);
    });
    if (!capture) return std::unexpected(std::move(capture.error()));
    pipeline->capture_ = std::move(*capture);
    pipeline->kernel_ = kernel_of(*pipeline->capture_);
    return pipeline;
}

void Pipeline::process(const tcptrail_record& record) {
    const connections::Connection connection = connections::connection_of(record, kernel_, boot_to_unix_);
    const context::Identity identity = context_.find(connection.owner);
    if (connection.kind == connections::Kind::progress) ++progress_told_;
    tally_.add(connection, record.ended_ns);
    sink_(encoder_.encode(connection, identity, unix_nanos()));
}

Result<uint64_t> Pipeline::drain() {
    uint64_t total = 0;
    do {
        boot_to_unix_ = boot_to_unix_offset();
        if (backlog_.size() < most_backlog) {
            auto drained = capture_->drain();
            if (!drained) return drained;
            total += *drained;
        }
        for (size_t i = 0; i < records_between_drains && !backlog_.empty(); ++i) {
            process(backlog_.front());
            backlog_.pop_front();
        }
    } while (!backlog_.empty());
    return total;
}

Result<> Pipeline::sweep() {
    return capture_->sweep();
}

Result<bool> Pipeline::take() {
    if (backlog_.size() >= most_backlog) return true;
    const auto drained = capture_->drain();
    if (!drained) return std::unexpected(drained.error());
    return true;
}

Result<> Pipeline::progress(const std::function<bool()>& pause) {
    const uint64_t began = monotonic_nanos();
    const std::chrono::seconds interval(options_.progress_interval_secs);
    if (interval.count() == 0 || began < next_walk_ns_) return {};
    next_walk_ns_ =
        began +
        static_cast<uint64_t>(
            std::min<std::chrono::nanoseconds>(interval / walks_per_interval, longest_walk_interval).count());
    // The ends that are in the ring already come before what is open now.
    if (auto drained = drain(); !drained) return std::unexpected(std::move(drained.error()));
    return capture_->progress(
        interval, [this](const tcptrail_record& record) { backlog_.push_back(record); },
        [&]() -> Result<bool> {
            if (auto drained = drain(); !drained) return std::unexpected(std::move(drained.error()));
            if (!pause()) return false;
            if (monotonic_nanos() - began < static_cast<uint64_t>(longest_walk.count())) return true;
            next_walk_ns_ = 0;  // the rest soon
            return false;
        });
}

Result<> Pipeline::stop() {
    capture_->stop();
    if (auto drained = drain(); !drained) return std::unexpected(std::move(drained.error()));
    return {};
}

Result<Account> Pipeline::account() const {
    const auto counts = capture_->counts();
    if (!counts) return std::unexpected(counts.error());
    Account account;
    account.seen = counts->seen() + counts->opened();
    account.told = encoder_.last_sequence() - progress_told_;
    account.ring_full = (*counts)[TCPTRAIL_LOST_RING_FULL] + (*counts)[TCPTRAIL_OPENED_LOST_RING_FULL];
    account.malformed = capture_->malformed.get();
    account.progress = progress_told_;
    return account;
}

std::string Pipeline::describe() const {
    const auto attached = std::ranges::count_if(capture_->hooks(), &capture::HookStatus::attached);
    std::string missing;
    for (const capture::MissingFact& fact : capture::missing_facts(capture_->hooks()))
        missing += (missing.empty() ? "" : "; ") + fact.fact + " (" + fact.why + ")";
    return "tracing the TCP connections of this host with " + std::to_string(attached) + " of " +
           std::to_string(capture_->hooks().size()) + " hooks; " +
           (missing.empty() ? "nothing is missing" : "missing: " + missing);
}

}  // namespace tcptrail
