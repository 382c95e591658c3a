// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "agent/base/error.h"
#include "agent/base/fd.h"

struct bpf_map;

namespace tcptrail::capture {

struct AgentMaps {
    Fd connections, slots, details, listeners;
};

// Maps, not loaded yet, of the same names, types and sizes as those that are looked for.
struct MapModels {
    const bpf_map *connections, *slots, *details, *listeners;
};

// The maps of the programs that trace this host for another process; of several, those that were loaded
// first. Nothing where there is no such process. Fails when the kernel does not let us look (CAP_SYS_ADMIN),
// or when the only ones are of another version.
Result<std::optional<AgentMaps>> find_agent_maps(const MapModels& models);

}  // namespace tcptrail::capture
