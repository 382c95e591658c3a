// SPDX-License-Identifier: Apache-2.0
//
// What is open on this host at the moment, without tracing it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "agent/base/error.h"
#include "agent/capture/options.h"
#include "bpf/abi/listener.h"
#include "bpf/abi/record.h"
#include "bpf/abi/walk.h"

namespace tcptrail::capture {

class Programs;

// Walks the kernel's own state. Where an agent traces the host, it tells the beginnings too, and connections
// that no process holds; what else it does not know is found through the files of all processes.
class Snapshot {
public:
    // Needs CAP_BPF and CAP_PERFMON; CAP_SYS_ADMIN to ask the agent.
    static Result<std::unique_ptr<Snapshot>> take(const Options& options);
    ~Snapshot();
    Snapshot(const Snapshot&) = delete;
    Snapshot& operator=(const Snapshot&) = delete;

    // Each once. The record is valid only during the call; it is one of progress.
    Result<> connections(const std::function<void(const tcptrail_record&)>& consumer);
    Result<> listeners(const std::function<void(const tcptrail_listener_record&)>& consumer);

    // Each process with its network namespace.
    Result<std::vector<tcptrail_task_netns>> tasks();

    // Why an agent that may be there was not asked; empty if one was, or if there is none.
    const std::string& agent_problem() const { return agent_problem_; }
    // Sockets that found no room in our maps.
    Result<uint64_t> left_out() const;
    uint32_t hz() const;  // of jiffies; 0: not known
    const std::vector<std::string>& reset_reasons() const;

private:
    Snapshot() = default;

    std::unique_ptr<Programs> programs_;
    std::string agent_problem_;
};

}  // namespace tcptrail::capture
