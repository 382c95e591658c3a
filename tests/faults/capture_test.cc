// SPDX-License-Identifier: Apache-2.0
//
// What the capture has no room for: faults 1, 2, 4. Most of its other faults are tests of kernel/.
#include <signal.h>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"
#include "tests/faults/own_connections.h"

using namespace tests;

namespace {

// An agent with a ring of 64 KiB and so many records beyond it stands still while 5,000 connections are made.
Outcome stand_still(const std::string& overflow_records) {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(setting.agent(brokers(), {"capture.ring_bytes=65536", "report.interval_secs=1",
                                            "capture.overflow_records=" + overflow_records}));
    REQUIRE(is_tracing(agent));
    agent.signal(SIGSTOP);
    const Truth during = truth_of(run(generator(5000)));
    agent.signal(SIGCONT);
    // It recovers by itself: of these none is lost.
    REQUIRE(eventually(seconds(30), [&] { return setting.delivered() > 0; }));
    const Truth after = truth_of(run(generator(500, 500)));
    require_stops(agent);
    return require_audit(setting, {during, after});
}

}  // namespace

TEST_CASE("fault 1: the ring is full while the agent stands still", "[faults][root]") {
    const Outcome outcome = stand_still("131072");
    CHECK(outcome.seen == outcome.delivered);
    CHECK(outcome.lost == 0);
}

TEST_CASE("fault 1: the ring is full, and so is what is beyond it", "[faults][root]") {
    const Outcome outcome = stand_still("1000");
    CHECK(outcome.lost == outcome.reasons.at("ring_full"));
    CHECK(outcome.seen == outcome.delivered + outcome.lost);
    CHECK(outcome.lost > 5000);
}

TEST_CASE("fault 2: the ring and the map of connections are full at once", "[faults][root]") {
    constexpr uint64_t count = 400;
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(setting.agent(brokers(), {"capture.max_connections=64", "capture.ring_bytes=65536",
                                            "capture.overflow_records=100"}));
    REQUIRE(is_tracing(agent));
    agent.signal(SIGSTOP);
    OwnConnections own(count);
    own.close();
    agent.signal(SIGCONT);
    REQUIRE(eventually(seconds(30), [&] { return setting.delivered() > 0; }));
    // Nothing of it is left in the map: these find their place.
    const Truth after = truth_of(run(generator(100, 200)));
    require_stops(agent);
    const Outcome outcome = require_audit(setting, {after});
    CHECK(outcome.seen == outcome.delivered + outcome.lost);
    const ToldAtPort told = told_at(own.port(), setting);
    CHECK(told.ends + outcome.lost >= 2 * count);
    // What the ring took of these: all but 64 at most had no place in the map, nor one of two slots.
    CHECK(told.ends <= told.without_beginning + 66);
    CHECK(outcome.lost > 0);
    CHECK(account_of(setting.consume().output, after).ids.size() == 2 * after.connections);
}

TEST_CASE("fault 4: more connections are open than are remembered", "[faults][root]") {
    constexpr uint64_t count = 300;
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(setting.agent(brokers(), {"capture.max_connections=64"}));
    REQUIRE(is_tracing(agent));
    OwnConnections own(count);
    own.close();
    require_stops(agent);
    CHECK(require_audit(setting, {}).lost == 0);

    // Each end is told, those without a memory of their beginning as such.
    const ToldAtPort told = told_at(own.port(), setting);
    CHECK(told.ends == 2 * count);
    CHECK(told.ids.size() == told.ends);
    CHECK(told.without_beginning >= 2 * count - 66);
}
