// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "agent/cluster/watch.h"

namespace tcptrail::cluster {

// How it stands with the API server.
struct Status {
    Contact pods = Contact::starting;             // the watch that identities need
    std::string problem;                          // why one of the watches is not current; empty: all are
    uint64_t lists = 0, watches = 0, owners = 0;  // requests
    uint64_t failures = 0;                        // of them
    uint64_t known_pods = 0, known_services = 0, known_nodes = 0;

    bool operator==(const Status&) const = default;
};

}  // namespace tcptrail::cluster
