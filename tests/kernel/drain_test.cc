// SPDX-License-Identifier: Apache-2.0
//
// A drain ends in time, however much there is to drain: the stages of the capture thread in this process,
// with a sink that is slow.
#include <memory>
#include <string>
#include <thread>
#include <utility>

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
    CHECK_FALSE(*first);
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
        if (*drained) break;
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
