// SPDX-License-Identifier: Apache-2.0
//
// Fault 49 where the disk has no room for a copy of what is whole: the file stays until it has.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"
#include "tests/faults/disk.h"

using namespace tests;

namespace {

constexpr std::streamoff page_bytes = 8192;

// The way to all batches.
void damage(const std::string& file) {
    std::fstream database(file, std::ios::in | std::ios::out | std::ios::binary);
    database.seekp(page_bytes);
    database << std::string(page_bytes, '\0');
    REQUIRE(database.flush());
}

uint64_t files_set_aside(const std::filesystem::path& folder) {
    uint64_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const std::string name = entry.path().filename();
        count += name.starts_with("spool.db.corrupt-") && !name.ends_with("-wal") && !name.ends_with("-shm");
    }
    return count;
}

}  // namespace

TEST_CASE("fault 49: a damaged file, and no room for a copy of what is whole in it", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    const SmallDisk disk(setting.folder(), 20);
    const std::filesystem::path spool = disk.path() / "spool";
    std::vector<Truth> truths;
    const auto agent_with = [&](const std::string& servers) {
        return setting.agent(servers, {"spool.directory=" + spool.string(), "report.interval_secs=1"});
    };
    {
        Process agent(agent_with(nobody_answers));
        REQUIRE(is_tracing(agent));
        truths.push_back(truth_of(run(generator(20'000, 5000))));
        require_stops(agent);
    }
    damage(spool / "spool.db");
    // There is room for what SQLite needs to look at the file.
    const std::filesystem::path spare = disk.path() / "spare";
    std::ofstream(spare) << std::string(1'500'000, 'x');
    disk.fill();
    std::filesystem::remove(spare);
    {
        Process agent(agent_with(brokers()));
        REQUIRE(is_tracing(agent));
        const auto says = [&](const std::string& words) {
            return eventually(seconds(30), [&] { return agent.errors().find(words) != std::string::npos; });
        };
        CHECK(says("a copy of what is whole needs"));
        // What comes is delivered from memory meanwhile.
        truths.push_back(truth_of(run(generator(500, 1000))));
        require_delivered(setting, 1000);
        CHECK(files_set_aside(spool) == 0);
        const Finished status = setting.status();
        CHECK(status.output.find("a copy of what is whole needs") != std::string::npos);
        disk.free();
        CHECK(says("spool_replaced"));
        require_delivered(setting, 41'000);
        CHECK(files_set_aside(spool) == 1);
        require_stops(agent);
    }
    CHECK(require_audit(setting, truths).lost == 0);
}
