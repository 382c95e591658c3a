// SPDX-License-Identifier: Apache-2.0
//
// Faults 44 to 47 at each file system call of a spool, one after the other. Samples of them; the long form
// tries each.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/faults/driven_spool.h"
#include "tests/kafka/process.h"

using namespace tests;

namespace {

struct Case {
    const char* name;
    std::vector<std::string> before;  // settings of a run that ended in order; empty: there was none
    std::vector<std::string> settings;
};

const std::vector<Case> small = {
    {"a new spool", {}, {}},
    {"one that holds something", {"appends=7"}, {}},
    {"one that is full", {"appends=30", "bytes=2000", "max_bytes=60000"}, {"bytes=2000", "max_bytes=60000"}},
};
// The log is copied and begun anew.
const std::vector<Case> large = {
    {"a large log", {}, {"appends=20", "bytes=200000", "pause_ms=20"}},
};

void kill_at_each(const std::vector<Case>& cases, uint64_t step) {
    constexpr const char* kinds[] = {"kill-before ", "kill-midway ", "kill-after "};
    const Folder folder;
    for (const Case& one : cases) {
        const DrivenSpool at_rest(folder.path() / "at-rest");
        Told before;
        if (!one.before.empty()) before = at_rest.write(one.before);
        REQUIRE(before.status == 0);
        const uint64_t calls = DrivenSpool(folder.path() / "count", at_rest).calls(one.settings);
        uint64_t kills = 0;
        for (uint64_t number = 1; number <= calls + 20; number += step)
            for (size_t kind = step == 1 ? 0 : number / step % 3; kind < 3; kind += step == 1 ? 1 : 3) {
                const std::string what = kinds[kind] + std::to_string(number);
                INFO(one.name << ": " << what);
                const DrivenSpool spool(folder.path() / "killed", at_rest);
                const Told killed = spool.write(one.settings, {"DISK_FAULTS=" + what});
                REQUIRE((killed.status == 137 || (killed.status == 0 && number > calls / 2)));
                kills += killed.status == 137;
                require_nothing_lost(before, killed, spool.check());
            }
        std::printf("fault 47: %s: %lu calls, killed at %lu\n", one.name, calls, kills);
        CHECK(kills > 0);
    }
}

}  // namespace

TEST_CASE("fault 47: killed at a file system call of the spool", "[faults]") {
    kill_at_each(small, 13);
}

TEST_CASE("fault 47: killed at each file system call of the spool", "[.][soak]") {
    kill_at_each(small, 1);
    kill_at_each(large, 29);
}
