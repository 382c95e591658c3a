// SPDX-License-Identifier: Apache-2.0
#include "agent/balance.h"

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tests/catch.h"

using namespace tcptrail;

namespace {

using Losses = std::vector<std::pair<std::string, uint64_t>>;

void add(v1::AgentReport& report, const std::string& name, uint64_t in, uint64_t out, uint64_t held,
         const Losses& losses = {}) {
    v1::Stage& stage = *report.add_stages();
    stage.set_name(name);
    stage.set_in(in);
    stage.set_out(out);
    stage.set_held(held);
    for (const auto& [reason, count] : losses) {
        stage.add_lost()->set_reason(reason);
        stage.mutable_lost()->rbegin()->set_count(count);
    }
}

// The counts of an agent at some moment, as they are in its report.
struct Agent {
    uint64_t seen = 100, ring_full = 7, received = 90, malformed = 2, events = 88, reports = 3, killed = 5;
    uint64_t waiting = 1;
    uint64_t before = 1000;  // what the spool's file took in earlier runs
    uint64_t released = 1040, too_large = 1, evicted = 4, held = 40;
    uint64_t taken = 60, acknowledged = 50, refused = 1;

    uint64_t given() const { return events + reports - killed - waiting; }

    v1::AgentReport report() const {
        v1::AgentReport report;
        report.set_sequence(reports);
        report.set_connections_last_sequence(events);
        add(report, "capture", seen, received, seen - received - ring_full, {{"ring_full", ring_full}});
        add(report, "connections", received, events, 0, {{"malformed", malformed}});
        add(report, "encode", events + reports, given(), waiting, {{"killed", killed}});
        add(report, "spool", before + given(), released, held,
            {{"too_large", too_large}, {"evicted", evicted}});
        add(report, "transmit", taken, acknowledged, taken - acknowledged - refused,
            {{"too_large", refused}});
        return report;
    }
};

// The one violation that is found; empty: none.
std::string only(const std::vector<std::string>& violations) {
    INFO(Catch::Detail::stringify(violations));
    REQUIRE(violations.size() <= 1);
    return violations.empty() ? "" : violations.front();
}

v1::Stage& stage(v1::AgentReport& report, const std::string& name) {
    for (v1::Stage& found : *report.mutable_stages())
        if (found.name() == name) return found;
    throw std::runtime_error("no stage " + name);
}

}  // namespace

TEST_CASE("balance: accounts that fit have no violations") {
    Balance balance;
    Agent agent;
    CHECK(only(balance.check(agent.report())) == "");
    // A second later: 10 ends more, all told, 12 messages given, and delivered.
    agent.seen += 10;
    agent.received += 13;
    agent.events += 13;
    agent.held += 5;
    agent.reports += 1;
    agent.released += 9;
    agent.taken += 20;
    agent.acknowledged += 20;
    CHECK(only(balance.check(agent.report())) == "");
    CHECK(only(balance.check(agent.report())) == "");
}

TEST_CASE("balance: an empty report, and one without the stages behind encode") {
    Balance balance;
    CHECK(balance.check({}).empty());
    v1::AgentReport report;
    report.set_connections_last_sequence(5);
    add(report, "encode", 5, 5, 0);
    CHECK(balance.check(report).empty());
}

TEST_CASE("balance: in = out + held + lost at each stage") {
    for (const std::string name : {"capture", "connections", "encode", "spool", "transmit"}) {
        for (const int64_t wrong : {-1, 1}) {
            INFO(name << " " << wrong);
            v1::AgentReport report = Agent().report();
            v1::Stage& broken = stage(report, name);
            broken.set_held(broken.held() + static_cast<uint64_t>(wrong));
            Balance balance;
            const auto violations = balance.check(report);
            REQUIRE(violations.size() == 1);
            CHECK_THAT(violations[0], Catch::Matchers::StartsWith(name + ": in "));
        }
    }
    Agent agent;
    v1::AgentReport report = agent.report();
    stage(report, "capture").set_held(1);
    CHECK(only(Balance().check(report)) == "capture: in 100 is not out 90 + held 1 + ring_full 7");
}

TEST_CASE("balance: a difference that wrapped around is no balance") {
    v1::AgentReport report;
    add(report, "transmit", 5, 6, std::numeric_limits<uint64_t>::max());
    CHECK(only(Balance().check(report)) == "transmit: in 5 is not out 6 + held 18446744073709551615");
}

TEST_CASE("balance: what one stage gives the next takes") {
    SECTION("capture and connections") {
        v1::AgentReport report = Agent().report();
        stage(report, "connections").set_in(91);
        stage(report, "connections").mutable_lost(0)->set_count(3);
        CHECK(only(Balance().check(report)) == "capture: out 90 is not what connections took, 91");
    }
    SECTION("connections and the numbers of events") {
        v1::AgentReport report = Agent().report();
        report.set_connections_last_sequence(87);
        report.set_sequence(4);
        CHECK(only(Balance().check(report)) == "connections: out 88 is not the last event's number, 87");
    }
    SECTION("encode and the numbers of messages") {
        v1::AgentReport report = Agent().report();
        report.set_sequence(4);
        CHECK(only(Balance().check(report)) ==
              "encode: in 91 is not the numbers of the last event and report together, 92");
    }
}

TEST_CASE("balance: the spool takes what encode gives") {
    Balance balance;
    Agent agent;
    REQUIRE(only(balance.check(agent.report())) == "");
    agent.received += 10;
    agent.seen += 10;
    agent.events += 10;
    agent.before -= 3;  // it took only seven
    agent.held += 7;
    CHECK(only(balance.check(agent.report())) ==
          "spool: in 1092 is 3 less than what encode gave, 95, and what it had before");
    // It is told once, not for ever.
    CHECK(only(balance.check(agent.report())) == "");
}

TEST_CASE("balance: a spool that turns up later brings its past") {
    Balance balance;
    Agent agent;
    agent.before = agent.released = agent.too_large = agent.evicted = agent.taken = agent.acknowledged =
        agent.refused = 0;
    agent.held = agent.given();
    REQUIRE(only(balance.check(agent.report())) == "");
    agent.before = 1000;
    agent.released = 990;
    agent.held += 10;
    CHECK(only(balance.check(agent.report())) == "");
    agent.taken = agent.given() + 10;
    CHECK(only(balance.check(agent.report())) == "");
}

TEST_CASE("balance: transmit takes nothing twice") {
    Balance balance;
    Agent agent;
    REQUIRE(only(balance.check(agent.report())) == "");
    agent.taken += agent.held;
    CHECK(only(balance.check(agent.report())) == "");
    agent.taken += 1;
    CHECK(only(balance.check(agent.report())) == "transmit: in 101 is more than the spool had to give, 100");
}

TEST_CASE("balance: the spool releases nothing that transmit has not finished") {
    Balance balance;
    Agent agent;
    REQUIRE(only(balance.check(agent.report())) == "");
    const auto tell = [&](uint64_t events) {
        agent.seen += events;
        agent.received += events;
        agent.events += events;
    };
    // Up to all that transmit has finished: how much of that was released before the first report is not
    // known.
    tell(11);
    agent.released += 51;
    agent.held -= 40;
    CHECK(only(balance.check(agent.report())) == "");
    tell(1);
    agent.released += 1;
    CHECK(only(balance.check(agent.report())) ==
          "spool: 52 were released since the agent started, which is more than transmit has finished, 51");
}
