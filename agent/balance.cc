// SPDX-License-Identifier: Apache-2.0
#include "agent/balance.h"

#include <fmt/format.h>

#include <initializer_list>
#include <limits>
#include <string_view>

namespace tcptrail {

namespace {

// What wrapped around must not do so once more.
uint64_t sum_of(std::initializer_list<uint64_t> counts) {
    uint64_t sum = 0;
    for (const uint64_t count : counts)
        if (__builtin_add_overflow(sum, count, &sum)) return std::numeric_limits<uint64_t>::max();
    return sum;
}

const v1::Stage* find(const v1::AgentReport& report, std::string_view name) {
    for (const v1::Stage& stage : report.stages())
        if (stage.name() == name) return &stage;
    return nullptr;
}

uint64_t lost(const v1::Stage& stage, std::string_view reason) {
    for (const v1::Loss& loss : stage.lost())
        if (loss.reason() == reason) return loss.count();
    return 0;
}

// By the stage behind: delivered, or refused by the brokers.
uint64_t finished(const v1::Stage& stage) {
    return stage.out() + lost(stage, "too_large");
}

void check_sum(const v1::Stage& stage, std::vector<std::string>& violations) {
    uint64_t sum = sum_of({stage.out(), stage.held()});
    std::string losses;
    for (const v1::Loss& loss : stage.lost()) {
        sum = sum_of({sum, loss.count()});
        losses += fmt::format(" + {} {}", loss.reason(), loss.count());
    }
    if (sum != stage.in())
        violations.push_back(fmt::format("{}: in {} is not out {} + held {}{}", stage.name(), stage.in(),
                                         stage.out(), stage.held(), losses));
}

void check_equal(std::string_view what, uint64_t one, std::string_view other_what, uint64_t other,
                 std::vector<std::string>& violations) {
    if (one != other) violations.push_back(fmt::format("{} {} is not {} {}", what, one, other_what, other));
}

}  // namespace

std::vector<std::string> Balance::check(const v1::AgentReport& report) {
    std::vector<std::string> violations;
    for (const v1::Stage& stage : report.stages())
        check_sum(stage, violations);

    const v1::Stage* const capture = find(report, "capture");
    const v1::Stage* const connections = find(report, "connections");
    const v1::Stage* const encode = find(report, "encode");
    if (capture && connections)
        check_equal("capture: out", capture->out(), "what connections took,", connections->in(), violations);
    if (connections)
        check_equal("connections: out", connections->out(), "the last event's number,",
                    report.connections_last_sequence(), violations);
    if (encode)
        check_equal("encode: in", encode->in(), "the numbers of the last event and report together,",
                    report.connections_last_sequence() + report.sequence(), violations);

    const v1::Stage* const spool = find(report, "spool");
    const v1::Stage* const transmit = find(report, "transmit");
    if (!encode || !spool || !transmit) return violations;
    const auto inherited = static_cast<int64_t>(spool->in() - encode->out());
    if (!start_) start_ = {inherited, spool->in(), finished(*spool), spool->held(), transmit->in()};
    if (inherited < inherited_.value_or(inherited))
        violations.push_back(
            fmt::format("spool: in {} is {} less than what encode gave, {}, and what it had before",
                        spool->in(), *inherited_ - inherited, encode->out()));
    inherited_ = inherited;
    // A file that turns up later brings what it had taken and released.
    if (inherited < start_->inherited) return violations;
    const uint64_t available = sum_of({start_->taken, start_->held, spool->in() - start_->in});
    if (transmit->in() > available)
        violations.push_back(
            fmt::format("transmit: in {} is more than the spool had to give, {}", transmit->in(), available));
    const auto turned_up = static_cast<uint64_t>(inherited - start_->inherited);
    if (finished(*spool) > sum_of({start_->finished, finished(*transmit), turned_up}))
        violations.push_back(fmt::format(
            "spool: {} were released since the agent started, which is more than transmit has finished, {}",
            finished(*spool) - start_->finished, finished(*transmit)));
    return violations;
}

}  // namespace tcptrail
