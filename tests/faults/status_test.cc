// SPDX-License-Identifier: Apache-2.0
//
// What an agent says of itself while it is not well, and when its accounts do not fit.
#include <signal.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"
#include "tests/faults/pins.h"

using namespace tests;
using nlohmann::json;

namespace {

bool says(const Setting& setting, int status, const std::string& words, seconds limit = seconds(30)) {
    Finished told;
    const bool right = eventually(limit, [&] {
        told = setting.status();
        return told.status == status && told.output.find(words) != std::string::npos;
    });
    INFO(told.status << "\n" << told.output << told.errors);
    CHECK(right);
    return right;
}

// Makes the kernel's count of submitted records larger than it is, on each processor: as if so many had got
// lost on the way through the ring.
void forge_submitted(const BpfFs& bpffs) {
    const Finished updated =
        run({"/usr/sbin/bpftool", "map", "update", "pinned", bpffs.pins() / "1" / "map_counters", "key", "0",
             "0", "0", "0", "value", "0", "0", "0", "1", "0", "0", "0", "0"});
    INFO(updated.output << updated.errors);
    REQUIRE(updated.status == 0);
}

}  // namespace

TEST_CASE("status: Kafka does not answer, and answers again", "[.long][root]") {
    Broker& broker = Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(setting.agent());
    REQUIRE(is_tracing(agent));
    REQUIRE(says(setting, 0, "health      ok"));
    broker.freeze();
    const Truth truth = truth_of(run(generator(50)));
    CHECK(says(setting, 1, "health      degraded: Kafka: "));
    const json degraded = json::parse(setting.status("json").output);
    CHECK(!degraded.at("kafka").at("problem").get<std::string>().empty());
    broker.thaw();
    CHECK(says(setting, 0, "health      ok"));
    CHECK(setting.status().output.find("last error") != std::string::npos);
    require_delivered(setting, 100);
    require_stops(agent);
    CHECK(setting.status().status == 69);
    CHECK(require_audit(setting, {truth}).lost == 0);
}

TEST_CASE("status: records that got lost on the way show as a violation", "[faults][root]") {
    const Setting setting;
    const BpfFs bpffs(setting.folder());
    Process agent(setting.agent(nobody_answers, {bpffs.setting()}));
    REQUIRE(is_tracing(agent));
    REQUIRE(eventually(seconds(10), [&] {
        return setting.status().output.find("audit       holds: ") != std::string::npos;
    }));
    forge_submitted(bpffs);
    REQUIRE(says(setting, 1, "audit       violated: capture: in "));
    const json report = json::parse(setting.status("json").output);
    CHECK(report.at("audit_violations").size() == 1);
    CHECK(report.at("audit_violated").get<unsigned>() > 0);
    CHECK(agent.errors().find("the accounts do not fit, which is a fault of tcptrail: capture: in ") !=
          std::string::npos);
    require_stops(agent);
    CHECK(run({built("tcptrail"), "detach", "--set", bpffs.setting()}).status == 0);
}
