// SPDX-License-Identifier: Apache-2.0
//
// The maps are charged to the memory cgroup of the process that makes them: the ring at once, a connection
// when it comes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent/capture/options.h"

namespace tcptrail::capture {

// The smallest limit of this process's memory cgroup and of those above it, in bytes; v1 or v2. Nothing where
// there is none. `proc` is where procfs is mounted.
std::optional<uint64_t> memory_limit(const std::string& proc = "/proc");

// Makes the ring at most an eighth of the limit, and what is remembered of connections at most a quarter: the
// rest is the process's. Returns what became smaller, in words; empty: nothing.
std::string fit_into_memory(Options& options, uint64_t limit);

}  // namespace tcptrail::capture
