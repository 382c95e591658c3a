// SPDX-License-Identifier: Apache-2.0
//
// disk_faults.so under the shipped agent: fault 55, a disk that takes a second for each sync; 44, 45, calls
// of its spool that fail; 47, SIGKILL at one.
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"
#include "tests/faults/pins.h"

using namespace tests;

namespace {

constexpr uint64_t mebibyte = 1 << 20;

// An agent of which disk_faults.so has the spool.
std::vector<std::string> agent_with(const Setting& setting, const std::vector<std::string>& faults,
                                    std::vector<std::string> settings = {}) {
    settings.emplace_back("report.interval_secs=1");
    std::vector<std::string> command{"/usr/bin/env", "LD_PRELOAD=" + built("tests/tools/disk_faults.so"),
                                     "DISK_FAULTS_FOLDER=" + setting.spool()};
    command.insert(command.end(), faults.begin(), faults.end());
    for (const std::string& word : setting.agent(brokers(), settings))
        command.push_back(word);
    return command;
}

Truth truth_of(Process& load) {
    const int status = load.wait(seconds(120));
    return tests::truth_of(Finished{status, load.output(), load.errors()});
}

}  // namespace

// The ring has room for a second of records: who waits for the disk loses some.
TEST_CASE("fault 55: each sync of the disk takes a second", "[.long][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    const std::string sync = GENERATE("normal", "full");
    Process agent(agent_with(setting, {"DISK_FAULTS=delay-from 1 1000", "DISK_FAULTS_CALLS=fsync,fdatasync"},
                             {"spool.sync=" + sync, "capture.ring_bytes=2MiB"}));
    REQUIRE(is_tracing(agent));
    Process load(generator(6000, 1500));
    // Kafka gets events all the time.
    uint64_t delivered = 0;
    for (int i = 0; i < 2; ++i) {
        REQUIRE(eventually(seconds(10), [&] { return setting.delivered() > delivered; }));
        delivered = setting.delivered();
    }
    const Truth truth = truth_of(load);
    require_delivered(setting, 2 * truth.connections);
    require_stops(agent);
    // Neither the ring nor the memory was full.
    CHECK(require_audit(setting, {truth}).lost == 0);
    uint64_t least = UINT64_MAX, most = 0;
    for (const auto& report : setting.reports()) {
        least = std::min(least, number(report, "memory_bytes"));
        most = std::max(most, number(report, "memory_bytes"));
    }
    std::printf("fault 55: sync=%s, resident %lu to %lu MiB\n", sync.c_str(), least / mebibyte,
                most / mebibyte);
    CHECK(most < least + 48 * mebibyte);
}

TEST_CASE("fault 44, 45: calls of the agent's spool fail, one after the other", "[.long][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    const std::string trouble = setting.folder() / "trouble";
    const std::string what = GENERATE("fail-from 400 ENOSPC", "fail-from 700 EIO");
    std::ofstream{trouble};
    Process agent(agent_with(setting, {"DISK_FAULTS=" + what, "DISK_FAULTS_WHILE=" + trouble}));
    REQUIRE(is_tracing(agent));
    Process load(generator(4000, 1000));
    REQUIRE(eventually(
        seconds(20), [&] { return agent.errors().find("events are kept in memory") != std::string::npos; }));
    const uint64_t before = setting.delivered();
    REQUIRE(eventually(seconds(20), [&] { return setting.delivered() > before; }));
    std::filesystem::remove(trouble);
    REQUIRE(eventually(seconds(20), [&] {
        return agent.errors().find("events are stored on the disk again") != std::string::npos;
    }));
    const Truth truth = truth_of(load);
    require_delivered(setting, 2 * truth.connections);
    require_stops(agent);
    INFO(what);
    CHECK(require_audit(setting, {truth}).lost == 0);
}

TEST_CASE("fault 47: the agent is killed at calls of its spool", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    const BpfFs bpffs(setting.folder());
    std::vector<Truth> truths;
    {
        // From here on all is seen.
        Process agent(setting.agent(brokers(), {bpffs.setting()}));
        REQUIRE(is_tracing(agent));
        agent.signal(SIGKILL);
    }
    for (const char* what : {"kill-after 40", "kill-midway 90", "kill-before 150"}) {
        INFO(what);
        Process agent(agent_with(setting, {std::string("DISK_FAULTS=") + what}, {bpffs.setting()}));
        truths.push_back(tests::truth_of(run(generator(500, 1000))));
        REQUIRE(agent.wait(seconds(30)) == 128 + SIGKILL);
    }
    Process agent(setting.agent(brokers(), {bpffs.setting(), "report.interval_secs=1"}));
    REQUIRE(is_tracing(agent));
    truths.push_back(tests::truth_of(run(generator(500, 1000))));
    require_delivered(setting, 4 * 2 * 500);
    require_stops(agent);
    CHECK(detach(bpffs).status == 0);
    CHECK(verdict_of(setting.consume()).holes == 0);
    CHECK(require_audit(setting, truths).lost == 0);
}
