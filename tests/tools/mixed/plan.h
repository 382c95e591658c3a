// SPDX-License-Identifier: Apache-2.0
//
// Deals out the attempts of a run to groups of short-lived processes.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/tools/mixed/fate.h"
#include "tests/tools/mixed/world.h"

namespace mix {

// A server and its clients; without established attempts there is no server.
struct Group {
    Place place;
    Family family;
    unsigned clients;
    unsigned workers;  // processes that accept; 0: the listener does it itself
    bool waits;        // all attempts time out: its processes sleep
    std::vector<Attempt> attempts;

    unsigned established() const;
};

// A lifecycle is one end of a connection, or a failed attempt. A tenth of the attempts fail, in six ways,
// each as often as the others; half of the lifecycles are in `home`. The same seed makes the same plan.
std::vector<Group> make_plan(uint32_t lifecycles, uint32_t seed);

}  // namespace mix
