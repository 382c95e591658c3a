// SPDX-License-Identifier: Apache-2.0
//
// What consume --verify knows beside the numbers themselves: what the agents' own reports say of their runs,
// and since when everything is still there.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/transmit/consumer.h"
#include "schemas/v1/agent.pb.h"

namespace tcptrail::commands {

// Of one run, from the latest of its reports.
struct RunAccount {
    uint64_t sequence = 0;                     // of that report
    uint64_t emitted_unix_nanos = 0;           // of that report
    uint64_t last_sequence = 0;                // of the run's events, by then
    std::optional<uint64_t> began_unix_nanos;  // unknown where no report of the run's first agent is there
    uint64_t waiting = 0;           // events in its spool by then; Kafka may have had them a moment later
    bool stopped = false;           // it was the agent's last word
    std::vector<std::string> lost;  // "spool evicted 12", over all stages
};

// Takes the reports of all agents, in any order.
class RunAccounts {
public:
    void add(const v1::AgentReport& report);
    const std::map<std::string, RunAccount, std::less<>>& runs() const { return runs_; }

private:
    std::map<std::string, RunAccount, std::less<>> runs_;
};

// "its agent's last report, 12s ago: 3 events not acknowledged yet; lost so far: spool evicted 12"
std::string explanation(const RunAccount& account, uint64_t now_unix_nanos);

// Reads all that is in `topic` now. Ends early with what there is when `stop` becomes true.
Result<RunAccounts> read_accounts(const transmit::Options& kafka, const std::string& topic,
                                  const std::atomic<bool>& stop);

// Since when (Unix time in ns) every record that was appended to these partitions is still there: absent
// where nothing was removed. Asks the first record of each partition that begins later than at offset 0.
// Kafka's records are in the order in which they were appended; what was emitted after the oldest of them was
// appended is there.
Result<std::optional<uint64_t>> complete_since(const transmit::Options& kafka, const std::string& topic,
                                               const std::vector<transmit::Consumer::Partition>& partitions,
                                               const std::atomic<bool>& stop);

}  // namespace tcptrail::commands
