// SPDX-License-Identifier: Apache-2.0
#include "agent/losses.h"

#include <string>

#include "tests/catch.h"

using namespace tcptrail;

namespace {

v1::AgentReport report_of(uint64_t ring_full, uint64_t evicted) {
    v1::AgentReport report;
    const auto add = [&](const char* name, const char* reason, uint64_t count) {
        v1::Stage& stage = *report.add_stages();
        stage.set_name(name);
        if (!count) return;
        stage.add_lost()->set_reason(reason);
        stage.mutable_lost(0)->set_count(count);
    };
    add("capture", "ring_full", ring_full);
    add("spool", "evicted", evicted);
    add("transmit", "too_large", 1);  // the spool's, too
    return report;
}

}  // namespace

TEST_CASE("losses: what is new, by stage and reason, once") {
    Losses losses;
    CHECK_FALSE(losses.has_untold(report_of(5, 0)));  // of the agent before
    CHECK_FALSE(losses.has_untold(report_of(5, 0)));
    CHECK(losses.has_untold(report_of(7, 0)));
    REQUIRE(losses.has_untold(report_of(8, 10)));  // not told meanwhile
    const auto told = losses.tell(report_of(8, 10));
    REQUIRE(told.size() == 2);
    CHECK(told[0].stage == "capture");
    CHECK(told[0].reason == "ring_full");
    CHECK(told[0].count == 3);
    CHECK(told[0].text.starts_with("3 lost (ring_full): "));
    CHECK(told[1].stage == "spool");
    CHECK(told[1].reason == "evicted");
    CHECK(told[1].count == 10);
    CHECK_FALSE(losses.has_untold(report_of(8, 10)));
    CHECK(losses.tell(report_of(8, 11)).at(0).count == 1);
}
