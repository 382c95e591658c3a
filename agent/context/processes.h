// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "agent/context/place.h"

namespace tcptrail::context {

// What /proc tells of a process. Empty where it was gone, or we may not look.
struct Process {
    std::string executable;
    Place place;
    bool is_in_version_1 = false;  // its place is that of cgroup v1
    uint32_t uid = ~0u;            // real; ~0: not known
};

// Remembers processes that own connections, the least recently used leaves first. Used by the capture
// thread alone.
class Processes {
public:
    Processes(std::string proc, size_t capacity) : proc_(std::move(proc)), capacity_(capacity) {}

    // The process with this pid that began at `start_ns` (CLOCK_BOOTTIME): of another one that has the pid
    // by now nothing is told. `name` finds out about execve(). Valid until the next call.
    const Process& find(uint32_t pid, uint64_t start_ns, std::string_view name);

private:
    struct Entry {
        uint32_t pid = 0;
        uint64_t start_ns = 0;
        std::string name;
        Process process;
    };

    Process read(uint32_t pid, uint64_t start_ns) const;

    std::string proc_;
    size_t capacity_;
    std::list<Entry> recent_;  // the most recently used first
    std::unordered_map<uint32_t, std::list<Entry>::iterator> by_pid_;
};

// The path as it was before its file or folder went away: /proc adds " (deleted)".
std::string_view without_deleted(std::string_view path);

struct ProcessCgroup {
    std::string path;
    bool is_version_1 = false;
};

// A process's cgroup from the content of /proc/<pid>/cgroup: v2's, unless that names no container and a v1
// hierarchy does; empty when there is none.
ProcessCgroup cgroup_of(std::string_view proc_cgroup);

}  // namespace tcptrail::context
