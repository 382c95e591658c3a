// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/base/error.h"
#include "agent/base/fd.h"

namespace tcptrail::capture {

struct AgentMaps {
    Fd connections, listeners;
};

// Descriptors of maps of the same types and sizes as those that are looked for.
struct MapModels {
    int connections, listeners;
};

// The maps of the programs that trace this host for another process; of several, those that were loaded
// first. Fails when there are none, or when the kernel does not let us look (CAP_SYS_ADMIN).
Result<AgentMaps> find_agent_maps(const MapModels& models);

}  // namespace tcptrail::capture
