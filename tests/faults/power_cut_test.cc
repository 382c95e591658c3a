// SPDX-License-Identifier: Apache-2.0
//
// Fault 48: the power is cut, at random moments, with what a disk makes of it. TCPTRAIL_SEED repeats a run.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/faults/driven_spool.h"
#include "tests/faults/power_cut.h"
#include "tests/kafka/process.h"

using namespace tests;

namespace {

uint32_t seed() {
    const char* wanted = std::getenv("TCPTRAIL_SEED");
    return wanted ? static_cast<uint32_t>(std::strtoul(wanted, nullptr, 0)) : std::random_device()();
}

// What is to be there after a cut behind the first `count` calls.
struct Expected {
    Told told;  // all that was said before it
    uint64_t durable =
        0;  // the mark that was told as committed before the last completed sync of the log began
    uint64_t second_ago = 0;  // and two seconds before the cut
};

Expected expected_of(const std::vector<LoggedCall>& calls, size_t count) {
    constexpr uint64_t two_seconds = 2'000'000'000;
    Expected expected;
    std::string said;
    uint64_t log = 0, kept = 0;
    for (size_t i = 0; i < count; ++i) {
        const LoggedCall& call = calls[i];
        if (call.record.call == DiskCall::open && call.payload.ends_with("-wal")) log = call.record.inode;
        if (call.record.call == DiskCall::sync && call.record.inode == log) expected.durable = kept;
        if (call.record.call != DiskCall::note) continue;
        said += call.payload;
        if (call.payload.starts_with("kept ")) kept = std::stoul(call.payload.substr(5));
        if (call.record.began_ns + two_seconds < calls[count - 1].record.began_ns) expected.second_ago = kept;
    }
    expected.told = told_by(said, 137);
    return expected;
}

void cut_power_often(const std::vector<std::string>& settings, bool full, int times) {
    const uint32_t first = seed();
    std::mt19937 random(first);
    const Folder folder;
    const DrivenSpool spool(folder.path() / "whole"), torn(folder.path() / "torn");
    const std::string log = folder.path() / "log";
    // Twice: the second run finds something, and writes over pages.
    std::vector<std::string> all = settings;
    all.emplace_back(full ? "sync=full" : "sync=normal");
    for (int i = 0; i < 2; ++i) {
        const Told told = spool.write(all, {"DISK_FAULTS_LOG=" + log});
        INFO(told.output);
        REQUIRE(told.status == 0);
    }
    const auto calls = read_disk_log(log);
    REQUIRE(calls.size() > 100);
    uint64_t most_lost = 0, lossy = 0;
    for (int i = 0; i < times; ++i) {
        const size_t count = 1 + random() % calls.size();
        INFO("TCPTRAIL_SEED=" << first << ", cut " << i << " behind call " << count << " of "
                              << calls.size());
        cut_power(calls, count, random, torn.path());
        const Expected expected = expected_of(calls, count);
        const Told checked = torn.check();
        INFO("said:\n" << expected.told.output << "checked:\n" << checked.output);
        REQUIRE(checked.status == 0);
        REQUIRE(checked.stats.size() == 2);
        CHECK(checked.errors.empty());
        const auto& stats = checked.stats.front();
        CHECK(stats.at("files_set_aside") == 0);
        CHECK(stats.at("damaged") == 0);
        CHECK(checked.found >= expected.durable);
        CHECK(checked.found >= (full ? expected.told.kept : expected.second_ago));
        CHECK(checked.found <= expected.told.end);
        CHECK(stats.at("in") == checked.found);
        CHECK(stats.at("held") == checked.read.size());
        CHECK(is_balanced(stats));
        uint64_t missing = 0;
        for (uint64_t number = 0; number < checked.found; ++number)
            missing += !expected.told.released.contains(number) && !checked.read.contains(number);
        CHECK(missing == stats.at("evicted"));
        const uint64_t lost = expected.told.kept - std::min(checked.found, expected.told.kept);
        most_lost = std::max(most_lost, lost);
        lossy += lost > 0;
    }
    std::printf("fault 48: sync=%s, %zu calls, cut %d times: up to %lu committed events lost, in %lu cuts\n",
                full ? "full" : "normal", calls.size(), times, most_lost, lossy);
    CHECK((full ? most_lost == 0 : true));
}

const std::vector<std::string> full_spool = {"appends=60", "bytes=2000", "max_bytes=60000"};
const std::vector<std::string> large_log = {"appends=16", "bytes=250000", "pause_ms=20"};
const std::vector<std::string> slow = {"appends=150", "pause_ms=10"};

}  // namespace

TEST_CASE("fault 48: the power is cut, sync: full", "[faults]") {
    cut_power_often({}, true, 40);
    cut_power_often(full_spool, true, 40);
}

TEST_CASE("fault 48: the power is cut, sync: normal", "[faults]") {
    cut_power_often(slow, false, 60);
}

TEST_CASE("fault 48: the power is cut a thousand times", "[.][soak]") {
    for (const bool full : {true, false}) {
        cut_power_often({}, full, 1000);
        cut_power_often(full_spool, full, 1000);
        cut_power_often(slow, full, 1000);
        cut_power_often(large_log, full, 100);
    }
}
