// SPDX-License-Identifier: Apache-2.0
//
// Faults 47 and 49 at once: killed at each file system call while a file that is no good is replaced.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>

#include "tests/catch.h"
#include "tests/faults/driven_spool.h"

using namespace tests;

namespace {

// What can be read of the damaged file is there whenever the program is killed, and counted as before.
void kill_while_replaced(uint64_t step) {
    const Folder folder;
    const DrivenSpool damaged(folder.path() / "damaged");
    const Told whole = damaged.write({"appends=40", "bytes=3000", "fill=yes"});
    REQUIRE(whole.status == 0);
    const auto file = damaged.path() / "spool.db";
    std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2 / 8192 * 8192);
    const Told saved = DrivenSpool(folder.path() / "whole", damaged).check();
    INFO(saved.output);
    REQUIRE(saved.status == 0);
    REQUIRE(saved.found == whole.end);
    REQUIRE(saved.stats.front().at("files_set_aside") == 1);
    REQUIRE(saved.read.size() > 20);
    REQUIRE(saved.stats.front().at("damaged") == whole.end - saved.read.size());

    uint64_t kills = 0;
    for (uint64_t number = 1;; number += step) {
        const std::string what = "kill-after " + std::to_string(number);
        INFO(what);
        const DrivenSpool spool(folder.path() / "killed", damaged);
        const Told killed = spool.write({"appends=2"}, {"DISK_FAULTS=" + what});
        if (killed.status == 0) break;
        REQUIRE(killed.status == 137);
        ++kills;
        const Told checked = spool.check();
        INFO("killed:\n" << killed.output << "checked:\n" << checked.output);
        REQUIRE(checked.status == 0);
        CHECK(checked.found >= whole.end);
        CHECK(std::ranges::all_of(saved.read, [&](uint64_t event) {
            return checked.read.contains(event) || killed.released.contains(event);
        }));
        CHECK(checked.stats.front().at("in") == checked.found);
        CHECK(checked.stats.front().at("damaged") == whole.end - saved.read.size());
        CHECK(is_balanced(checked.stats.front()));
    }
    std::printf("fault 47, 49: killed at %lu calls while a file is replaced\n", kills);
    CHECK(kills > 5);
}

}  // namespace

TEST_CASE("fault 47, 49: killed while a damaged spool is replaced", "[.long]") {
    kill_while_replaced(17);
}

TEST_CASE("fault 47, 49: killed at each call while a damaged spool is replaced", "[.][soak]") {
    kill_while_replaced(1);
}
