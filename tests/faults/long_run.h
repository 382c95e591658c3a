// SPDX-License-Identifier: Apache-2.0
//
// An agent under a steady load for minutes, with its memory watched.
#pragma once

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "tests/faults/audit.h"
#include "tests/kafka/setting.h"

namespace tests {

// What a process has resident, asked twice a second from a thread of its own.
class MemoryWatch {
public:
    explicit MemoryWatch(pid_t process);
    MemoryWatch(const MemoryWatch&) = delete;
    MemoryWatch& operator=(const MemoryWatch&) = delete;

    // Ends the watch. In KiB, in order.
    std::vector<uint64_t> end();

private:
    std::vector<uint64_t> samples_;
    std::jthread thread_;
};

// One agent, and one generator at `rate` connections a second. The memory is watched from the moment when the
// first events have been delivered.
class LongRun {
public:
    LongRun(uint64_t connections, uint64_t rate, const std::string& servers = brokers());

    const Setting& setting() const { return setting_; }
    Process& agent() { return agent_; }

    // Waits for the end of the load, for all of it at the consumer, less so many ends; ends the agent.
    // REQUIREs the account, with these other generators in it, and that the memory stayed flat. Prints all of
    // it.
    Outcome finish(const std::vector<Truth>& others = {}, uint64_t less = 0);

    // The same without an account: of a topic that was deleted, what it had is gone. Returns the load's
    // truth.
    Truth end_load();
    void require_flat_memory();

private:
    Setting setting_;
    Process agent_;
    Process load_;
    MemoryWatch watch_;
};

}  // namespace tests
