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

// Makes the maps fit. The process keeps 64 MiB of the limit, or half of a limit below 128 MiB. Of the rest
// the ring may have a quarter, what waits beyond it a sixth, what is remembered of connections a third; a
// last quarter is nobody's. So 512 MiB, which the package's unit allows, leave the defaults as they are.
// Returns what became smaller, in words; empty: nothing.
std::string fit_into_memory(Options& options, uint64_t limit);

}  // namespace tcptrail::capture
