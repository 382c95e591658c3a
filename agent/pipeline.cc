// SPDX-License-Identifier: Apache-2.0
#include "agent/pipeline.h"

#include <algorithm>
#include <utility>

#include "agent/base/clock.h"

namespace tcptrail {

namespace {

// 33 MB at most. Beyond it records wait in the ring, and are lost and counted when that is full.
constexpr size_t most_backlog = 65536;
// At 50 us each for JSON this is 6 ms, while the default ring holds 100 ms at full speed.
constexpr size_t records_between_drains = 128;

}  // namespace

Pipeline::Pipeline(const Config& config, Sink sink)
    : sink_(std::move(sink)),
      host_(context::identify_host(config.context.proc, config.node)),
      context_(config.context),
      encoder_(host_) {}

Result<std::unique_ptr<Pipeline>> Pipeline::start(const Config& config, Sink sink) {
    std::unique_ptr<Pipeline> pipeline(new Pipeline(config, std::move(sink)));
    auto capture = capture::Capture::start(
        config.capture,
        [self = pipeline.get()](const tcptrail_record& record) { self->backlog_.push_back(record); });
    if (!capture) return std::unexpected(std::move(capture.error()));
    pipeline->capture_ = std::move(*capture);
    pipeline->kernel_ = {pipeline->capture_->hz(), pipeline->capture_->reset_reasons()};
    return pipeline;
}

void Pipeline::process(const tcptrail_record& record) {
    const connections::Connection connection = connections::connection_of(record, kernel_, boot_to_unix_);
    const context::Identity identity = context_.find(connection.owner);
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

Result<> Pipeline::stop() {
    capture_->stop();
    if (auto drained = drain(); !drained) return std::unexpected(std::move(drained.error()));
    return {};
}

Result<Account> Pipeline::account() const {
    const auto counts = capture_->counts();
    if (!counts) return std::unexpected(counts.error());
    return Account{counts->seen(), encoder_.last_sequence(), (*counts)[TCPTRAIL_LOST_RING_FULL],
                   capture_->malformed.get()};
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
