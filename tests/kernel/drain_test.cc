// SPDX-License-Identifier: Apache-2.0
//
// A drain ends in time, however much there is to drain: the stages of the capture thread in this process,
// with a sink that is slow.
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/base/clock.h"
#include "agent/pipeline.h"
#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/scenes.h"

using namespace std::chrono_literals;
using namespace tcptrail;
using namespace tcptrail::test;

TEST_CASE("drain: ends after a tenth of a second, and takes the rest later", "[kernel]") {
    constexpr int count = 1000;
    Netns net;
    uint64_t told = 0, kept = 0;
    Pipeline::Sink sink;
    sink.event = [&](const v1::ConnectionEvent& event) {
        if (event.netns() != net.inode()) return;
        ++told;
        std::this_thread::sleep_for(1ms);
    };
    sink.keep = [&](const Checkpoint&) {
        kept = told;
        return true;
    };
    Config config;
    config.capture.pin.clear();
    auto started = Pipeline::start(config, std::move(sink));
    REQUIRE(started);
    Pipeline& pipeline = **started;
    Actor server(net, "drain-server");
    Actor client(net, "drain-client");
    burst(client, server, count);

    const uint64_t began = monotonic_nanos();
    const auto first = pipeline.drain();
    const uint64_t took_ns = monotonic_nanos() - began;
    REQUIRE(first);
    CHECK(*first == Pipeline::Drained::more);
    CHECK(told > 0);
    CHECK(told < 2UL * count);
    CHECK(kept == told);  // what was taken so far is kept, and the ring has its room again
    CHECK(took_ns >= 100'000'000);
    // 128 records more may have been begun, in a guest on a processor that is emulated.
    CHECK(took_ns < 2'000'000'000);
    int calls = 1;
    for (;; ++calls) {
        const auto drained = pipeline.drain();
        REQUIRE(drained);
        if (*drained == Pipeline::Drained::all) break;
        REQUIRE(calls < 1000);
    }
    CHECK(calls > 1);
    REQUIRE(pipeline.sweep());  // ends that no hook has seen
    REQUIRE(pipeline.drain(1s));
    CHECK(told >= 2UL * count);
    CHECK(kept == told);
    REQUIRE(pipeline.stop());
    const auto account = pipeline.account();
    REQUIRE(account);
    CHECK(account->seen == account->told + account->lost());
}

TEST_CASE("drain: a record that is not taken comes again, before those behind it", "[kernel]") {
    constexpr int count = 20;
    Netns net;
    capture::Options options;
    options.pin.clear();
    bool takes = true;
    std::vector<uint64_t> asked, taken;
    auto started = capture::Capture::start(options, [&](const tcptrail_record& record) {
        if (record.birth.netns != net.inode()) return true;
        asked.push_back(record.birth.cookie);
        if (takes) taken.push_back(record.birth.cookie);
        return takes;
    });
    REQUIRE(started);
    capture::Capture& capture = **started;
    Actor server(net, "held-server");
    Actor client(net, "held-client");
    burst(client, server, count);

    takes = false;
    REQUIRE(capture.drain());
    CHECK(capture.is_held());
    const capture::Place held_at = capture.place();
    CHECK(*capture.drain() == 0);
    CHECK(capture.place().position == held_at.position);
    CHECK(capture.received.get() == held_at.received);
    REQUIRE(asked.size() == 2);
    CHECK(asked[0] == asked[1]);
    CHECK(capture.unread_at_most() >= 1);

    takes = true;
    while (*capture.drain() > 0) {
    }
    CHECK_FALSE(capture.is_held());
    REQUIRE(capture.sweep());  // ends that no hook has seen
    REQUIRE(capture.drain());
    CHECK(taken.front() == asked[0]);
    CHECK(std::set(taken.begin(), taken.end()).size() == 2UL * count);
    CHECK(taken.size() == 2UL * count);
}
