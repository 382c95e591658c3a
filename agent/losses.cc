// SPDX-License-Identifier: Apache-2.0
#include "agent/losses.h"

#include <fmt/format.h>

#include <utility>

namespace tcptrail {

namespace {

struct Kind {
    std::string_view stage, reason, text;
};

// transmit's too_large is the spool's, too; killed is told by the start that finds it.
constexpr Kind kinds[] = {
    {"capture", "ring_full",
     "ends of connections found no room in the kernel, as the agent came too late for them: raise "
     "capture.overflow_records and capture.ring_bytes, or give the agent more processor time "
     "(capture.priority_boost, its cgroup's quota)"},
    {"connections", "malformed",
     "records of the kernel side could not be read, which is a fault of tcptrail: report it, with the output "
     "of "
     "tcptrail check"},
    {"spool", "too_large",
     "messages are larger than the brokers take: raise max.message.bytes of the topics, see tcptrail spool "
     "stat"},
    {"spool", "evicted",
     "events were removed from the spool, the oldest first, as it is full: mend what keeps Kafka from taking "
     "them (tcptrail status), or raise spool.max_bytes or free the disk"},
    {"spool", "expired",
     "events were removed from the spool, as they waited for longer than spool.max_age_hours: mend what "
     "keeps "
     "Kafka from taking them (tcptrail status), or raise it"},
    {"spool", "damaged",
     "events of the spool could not be read: the disk or another program has changed its file; check the "
     "disk, "
     "and see tcptrail spool verify"},
    {"spool", "memory_full",
     "events found no room in memory while the disk takes none: mend the disk (tcptrail status), or raise "
     "spool.memory_bytes"},
};

}  // namespace

std::vector<Losses::Loss> Losses::untold(const v1::AgentReport& report) {
    std::vector<Loss> losses;
    for (const v1::Stage& stage : report.stages())
        for (const v1::Loss& lost : stage.lost())
            for (const auto& [its_stage, reason, text] : kinds) {
                if (stage.name() != its_stage || lost.reason() != reason) continue;
                const uint64_t told = told_[{its_stage, reason}];
                if (lost.count() > told)
                    losses.push_back({its_stage, reason, lost.count() - told,
                                      fmt::format("{} lost ({}): {}", lost.count() - told, reason, text)});
            }
    return losses;
}

bool Losses::has_untold(const v1::AgentReport& report) {
    if (!std::exchange(has_begun_, true)) (void)tell(report);
    return !untold(report).empty();
}

std::vector<Losses::Loss> Losses::tell(const v1::AgentReport& report) {
    std::vector<Loss> losses = untold(report);
    for (const Loss& loss : losses)
        told_[{loss.stage, loss.reason}] += loss.count;
    return losses;
}

}  // namespace tcptrail
