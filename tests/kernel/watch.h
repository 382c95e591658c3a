// SPDX-License-Identifier: Apache-2.0
//
// The records of one scenario, out of all that an observer tells.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/event.h"
#include "tests/kernel/netns.h"
#include "tests/kernel/observer.h"

namespace tcptrail::test {

// A record of the scenario says that no hook saw a part of its connection.
struct BlindSpot : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The two ends of one connection.
struct Ends {
    Event client;
    Event server;
};

// Collects what is told of connections of some namespaces from its construction on: make it before
// the traffic.
class Watch {
public:
    explicit Watch(std::initializer_list<const Netns*> namespaces, Observer& observer = shared_observer());

    // Leaves out what is of other processes. For namespaces that vanish: their numbers are given to
    // others, of another test maybe.
    void only_of(std::initializer_list<const Actor*> owners);

    // Waits until `count` CLOSED records have come, and a moment longer for any that should not.
    // REQUIREs that there are exactly so many. Throws BlindSpot.
    std::vector<Event> closed(size_t count);

    // closed(2), which must be one client and one server.
    Ends ends();

    // closed(1).
    Event one();

    // The CLOSED records so far, as soon as there are `count` or none has come for so long. For many
    // connections, of which a few may be in the blind spot.
    const std::vector<Event>& wait_for(size_t count, int quiet_ms);

private:
    void read();

    Observer& observer_;
    std::vector<uint32_t> namespaces_;
    std::vector<uint64_t> owners_;  // empty: all
    size_t offset_;
    std::vector<Event> closed_;
};

// What the scenarios so far have looked at of the shared observer's records: the lines, by whose they
// are (namespace and pid). A line of one of these processes that is not here came too late.
using LookedAt = std::map<std::pair<uint32_t, uint64_t>, std::set<std::string>>;
LookedAt& looked_at();
std::pair<uint32_t, uint64_t> whose(const Event& event);

// Runs a scenario. If a record falls into the blind spot, which a few in ten thousand do on some
// machines (README.md), it prints so and runs the scenario once more from its beginning.
template <class Body>
void scenario(Body body) {
    try {
        body();
    } catch (const BlindSpot& blind) {
        WARN("a record fell into the blind spot, once more: " << blind.what());
        try {
            body();
        } catch (const BlindSpot& again) {
            FAIL("twice in the blind spot: " << again.what());
        }
    }
}

}  // namespace tcptrail::test
