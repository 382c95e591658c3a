// SPDX-License-Identifier: Apache-2.0
//
// After an outage: what happens now does not wait for what waits since.
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"

using namespace tests;

namespace {

// How long the events of a generator took to the broker's log, in milliseconds.
std::map<std::string, int64_t> delays_of(const Setting& setting, const Truth& truth) {
    const Finished consumed = run({built("tests/kafka/plain_consumer"), brokers(), setting.topic(), "0",
                                   std::to_string(truth.netns), std::to_string(truth.pid)});
    REQUIRE(consumed.status == 0);
    std::map<std::string, int64_t> found;
    std::istringstream lines(consumed.output);
    std::string name;
    for (int64_t value = 0; lines >> name >> value;)
        found[name] = value;
    return found;
}

}  // namespace

TEST_CASE("fault 33: after an outage, over a thin link, what happens now comes first", "[.long][root]") {
    Broker& broker = Broker::shared();
    const Setting setting;
    setting.create_topics();
    broker.tool("kafka.admin.ConfigCommand",
                {"--alter", "--entity-type", "topics", "--entity-name", setting.topic(), "--add-config",
                 "message.timestamp.type=LogAppendTime"});
    Process agent(setting.agent());
    REQUIRE(is_tracing(agent));
    REQUIRE(eventually(seconds(30), [&] { return !setting.reports().empty(); }));

    broker.freeze();
    const Truth before = truth_of(run(generator(20'000, 5000)));
    Truth now{};
    {
        const SlowLink link("1600kbit");
        broker.thaw();
        std::this_thread::sleep_for(seconds(2));
        now = truth_of(run(generator(500, 100), seconds(60)));
    }
    require_delivered(setting, 2 * (before.connections + now.connections));
    require_stops(agent);

    const auto waited = delays_of(setting, before), live = delays_of(setting, now);
    std::printf("backlog: %ld to %ld ms; live: %ld to %ld ms\n", waited.at("DELAY_P50"),
                waited.at("DELAY_MAX"), live.at("DELAY_P50"), live.at("DELAY_MAX"));
    CHECK(live.at("DELAY_MAX") < 1000);
    // It took longer than that to catch up, and the newest of it is not much older than the oldest that is
    // live.
    CHECK(waited.at("DELAY_MAX") > 5000);
    CHECK(require_audit(setting, {before, now}).lost == 0);
}
