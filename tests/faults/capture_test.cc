// SPDX-License-Identifier: Apache-2.0
//
// What the capture has no room for: faults 1, 2, 4. Most of its other faults are tests of kernel/.
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"

using namespace tests;

namespace {

// Opens so many connections on loopback, all at once, and closes them. Returns the server's port.
uint16_t open_and_close(uint64_t count) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const name = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(bind(listener, name, length) == 0);
    REQUIRE(listen(listener, 1024) == 0);
    REQUIRE(getsockname(listener, name, &length) == 0);
    std::vector<int> open{listener};
    for (uint64_t i = 0; i < count; ++i) {
        open.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        REQUIRE(connect(open.back(), name, length) == 0);
        open.push_back(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
        REQUIRE(open.back() >= 0);
    }
    for (const int fd : open)
        close(fd);
    return ntohs(address.sin_port);
}

// What is told of this program's own connections at a port.
struct Told {
    uint64_t ends = 0;
    uint64_t without_beginning = 0;
    std::set<std::string> ids;
};

Told told_at(uint16_t port, const Setting& setting) {
    struct stat netns{};
    REQUIRE(stat("/proc/self/ns/net", &netns) == 0);
    Told told;
    std::istringstream lines(setting.consume().output);
    for (std::string line; std::getline(lines, line);) {
        const auto event = nlohmann::json::parse(line);
        if (event.value("netns", 0U) != netns.st_ino) continue;
        if (event.value("local_port", 0) != port && event.value("remote_port", 0) != port) continue;
        ++told.ends;
        told.ids.insert(event.at("connection_id"));
        for (const auto& reason : event.value("partial", nlohmann::json::array()))
            if (reason == "PARTIAL_BIRTH_MISSED") ++told.without_beginning;
    }
    return told;
}

}  // namespace

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
    const uint16_t port = open_and_close(count);
    agent.signal(SIGCONT);
    REQUIRE(eventually(seconds(30), [&] { return setting.delivered() > 0; }));
    // Nothing of it is left in the map: these find their place.
    const Truth after = truth_of(run(generator(100, 200)));
    require_stops(agent);
    const Outcome outcome = require_audit(setting, {after});
    CHECK(outcome.seen == outcome.delivered + outcome.lost);
    const Told told = told_at(port, setting);
    CHECK(told.ends + outcome.lost >= 2 * count);
    // What the ring took of these: all but 64 at most had no place in the map.
    CHECK(told.ends <= told.without_beginning + 64);
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
    const uint16_t port = open_and_close(count);
    require_stops(agent);
    CHECK(require_audit(setting, {}).lost == 0);

    // Each end is told, those without a memory of their beginning as such.
    const Told told = told_at(port, setting);
    CHECK(told.ends == 2 * count);
    CHECK(told.ids.size() == told.ends);
    CHECK(told.without_beginning >= 2 * count - 64);
}
