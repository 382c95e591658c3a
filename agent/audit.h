// SPDX-License-Identifier: Apache-2.0
//
// The agent's proof of itself: what it told beside what the kernel counted, by network namespace.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>

#include "agent/base/error.h"
#include "agent/context/namespaces.h"
#include "agent/pipeline.h"
#include "schemas/v1/agent.pb.h"

namespace tcptrail {

// Used by the capture thread alone.
class Audit {
public:
    // `pipeline` is borrowed. `proc` is where the host's procfs is mounted.
    Audit(Pipeline& pipeline, std::string proc);

    // Looks at every namespace that has a process in it. The first look, at the start of the capture, is what
    // later ones compare with. Drains; where records come faster than they are taken it finds nothing new.
    Result<> look();

    // Writes what the last look found: namespaces, capture_ratio, destinations.
    void fill(v1::AgentReport& report) const;

    // What the kernel counts for a namespace, as of the last look; null where it is not known.
    const context::NamespaceCounts* counts_of(uint32_t netns) const {
        const auto known = namespaces_.find(netns);
        return known == namespaces_.end() ? nullptr : &known->second.counts;
    }

private:
    struct Namespace {
        uint64_t cookie = 0;
        bool alive = false;                          // at the last look
        bool is_new = false;                         // younger than the look before
        uint32_t pid = 0;                            // of a process in it
        uint32_t port_first = 0, port_last = 0;      // ip_local_port_range
        uint64_t first_told = 0;                     // lifecycles, when it was first looked at
        uint64_t first_before = 0, first_after = 0;  // the kernel's count then, before and after that
        uint64_t told = 0, counted = 0;              // since then
        context::NamespaceCounts counts;
    };

    Result<> find_namespaces();
    Result<> find_open();
    uint64_t told_of(uint32_t netns) const;
    void compare(uint32_t netns, Namespace& space);
    void add_up();
    void leave(const Namespace& space);
    void fill_namespaces(v1::AgentReport& report) const;
    void fill_destinations(v1::AgentReport& report) const;

    Pipeline& pipeline_;
    std::string proc_;
    std::unordered_map<uint32_t, Namespace> namespaces_;  // by inode
    uint64_t gone_told_ = 0, gone_counted_ = 0;           // of namespaces that are gone
    uint64_t told_ = 0, counted_ = 0;                     // over all of them, the most that there was
    uint32_t own_netns_;
    uint64_t ignored_ = 0;  // the agent's own connections, which are seen and not told
    bool first_look_ = true;
};

}  // namespace tcptrail
