// SPDX-License-Identifier: Apache-2.0
//
// Rings that are full: what comes then waits beyond them, and where there is no room either it is counted.
#include <csignal>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/event.h"
#include "tests/kernel/observer.h"
#include "tests/kernel/scenes.h"

using namespace tcptrail::test;

// 216 bytes of the ring each, and not 456: of the long form 143 would fit.
TEST_CASE("a ring of 64 KiB holds 240 ordinary ends", "[kernel]") {
    constexpr int count = 120;
    Netns net;
    Observer observer({"--set", "capture.ring_bytes=65536", "--set", "capture.overflow_records=0", "--netns",
                       std::to_string(net.inode())});
    Actor server(net, "brief-server");
    Actor client(net, "brief-client");
    observer.signal(SIGSTOP);
    burst(client, server, count);
    observer.signal(SIGCONT);
    const Summary summary = observer.stop(SIGINT);
    INFO(summary.line);
    CHECK(summary.seen == summary.told + summary.lost);
    CHECK(summary.lost == 0);
    size_t offset = 0;
    CHECK(observer.lines_from(offset).size() == 2 * count);
}

namespace {

// Of each connection of the namespace: the kinds of its events, in the order in which they were told.
std::map<std::string, std::vector<std::string>> kinds_of(const Observer& observer, const Netns& net) {
    std::map<std::string, std::vector<std::string>> kinds;
    size_t offset = 0;
    for (const std::string& line : observer.lines_from(offset)) {
        if (netns_of(line) != net.inode()) continue;
        const auto event = nlohmann::json::parse(line);
        kinds[event.at("connection_id")].push_back(event.at("kind"));
    }
    return kinds;
}

}  // namespace

TEST_CASE("what the ring has no room for is told all the same, in order", "[kernel]") {
    constexpr int each = 500;
    Netns net;
    Observer observer({"--set", "capture.ring_bytes=4096", "--set", "connections.opened=true"});
    Actor server(net, "beyond-server");
    Actor client(net, "beyond-client");
    for (int round = 0; round < 3; ++round) {
        observer.signal(SIGSTOP);
        burst(client, server, each);
        observer.signal(SIGCONT);
        burst(client, server, each);
        sleep_ms(300);  // the ring is in use again
    }
    const Summary summary = observer.stop(SIGINT);
    INFO(summary.line);
    CHECK(summary.seen == summary.told + summary.lost);
    CHECK(summary.lost == 0);
    const auto kinds = kinds_of(observer, net);
    CHECK(kinds.size() == 3 * 2 * 2 * each);
    for (const auto& [id, told] : kinds)
        if (told != std::vector<std::string>{"EVENT_KIND_OPENED", "EVENT_KIND_CLOSED"})
            FAIL(id << ": " << told.front() << ", " << told.back());
}

TEST_CASE("what is full, too, loses and counts", "[kernel]") {
    constexpr int count = 500;
    Netns net;
    Observer observer({"--set", "capture.ring_bytes=4096", "--set", "capture.overflow_records=300"});
    Actor server(net, "beyond-server");
    Actor client(net, "beyond-client");
    observer.signal(SIGSTOP);
    burst(client, server, count);
    observer.signal(SIGCONT);
    const Summary summary = observer.stop(SIGINT);
    INFO(summary.line);
    CHECK(summary.seen == summary.told + summary.lost);
    CHECK(summary.lost > 0);
    CHECK(summary.told >= 300);
}

TEST_CASE("a full ring: seen = told + lost", "[kernel]") {
    constexpr int count = 2000;
    Netns net;
    Observer observer({"--set", "capture.ring_bytes=4096", "--set", "capture.overflow_records=0"});
    Actor server(net, "flood-server");
    Actor client(net, "flood-client");
    observer.signal(SIGSTOP);
    burst(client, server, count);
    observer.signal(SIGCONT);
    // It recovers: what comes after is told again.
    sleep_ms(500);
    size_t offset = observer.end_of_lines();
    burst(client, server, 1);
    std::vector<std::string> after;
    for (int waited = 0; waited < 15'000 && after.size() < 2; waited += 100) {
        sleep_ms(100);
        for (std::string& line : observer.lines_from(offset)) {
            if (netns_of(line) == net.inode()) after.push_back(std::move(line));
        }
    }
    CHECK(after.size() >= 2);

    const Summary summary = observer.stop(SIGINT);
    INFO(summary.line);
    CHECK(summary.exit_status == 0);
    CHECK(summary.seen == summary.told + summary.lost);
    CHECK(summary.lost > 0);
    CHECK(summary.reasons.contains("ring_full"));
    uint64_t by_reason = 0;
    for (const auto& [reason, lost] : summary.reasons)
        by_reason += lost;
    CHECK(by_reason == summary.lost);
    // The whole host's connections are in it, not only ours.
    CHECK(summary.seen >= 2UL * (count + 1));
    offset = 0;
    CHECK(observer.lines_from(offset).size() == summary.told);
}
