// SPDX-License-Identifier: Apache-2.0
#include "agent/pipeline.h"

#include <utility>

#include "agent/base/clock.h"

namespace tcptrail {

Pipeline::Pipeline(const Config& config, Sink sink)
    : sink_(std::move(sink)),
      host_(context::identify_host(config.context.proc, config.node)),
      context_(config.context),
      encoder_(host_) {}

Result<std::unique_ptr<Pipeline>> Pipeline::start(const Config& config, Sink sink) {
    std::unique_ptr<Pipeline> pipeline(new Pipeline(config, std::move(sink)));
    auto capture = capture::Capture::start(
        config.capture, [self = pipeline.get()](const tcptrail_record& record) { self->on_record(record); });
    if (!capture) return std::unexpected(std::move(capture.error()));
    pipeline->capture_ = std::move(*capture);
    pipeline->kernel_ = {pipeline->capture_->hz(), pipeline->capture_->reset_reasons()};
    return pipeline;
}

void Pipeline::on_record(const tcptrail_record& record) {
    const connections::Connection connection = connections::connection_of(record, kernel_, boot_to_unix_);
    const context::Identity identity = context_.find(connection.owner);
    sink_(encoder_.encode(connection, identity, unix_nanos()));
}

Result<uint64_t> Pipeline::drain() {
    boot_to_unix_ = boot_to_unix_offset();
    return capture_->drain();
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
    size_t attached = 0;
    std::string missing;
    for (const capture::HookStatus& hook : capture_->hooks()) {
        if (hook.attached)
            ++attached;
        else
            missing += (missing.empty() ? "" : "; ") + std::string(hook.plan->missing_fact) + " (" +
                       hook.plan->name + ": " + hook.problem + ")";
    }
    return "tracing the TCP connections of this host with " + std::to_string(attached) + " of " +
           std::to_string(capture_->hooks().size()) + " hooks; " +
           (missing.empty() ? "nothing is missing" : "missing: " + missing);
}

}  // namespace tcptrail
