// SPDX-License-Identifier: Apache-2.0
//
// Faults 44 to 47 at each file system call of a spool, one after the other. Samples of them; the long form
// tries each.
#include <algorithm>
#include <cstdio>
#include <fstream>
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

void fail_at_each(const std::vector<Case>& cases, uint64_t step) {
    constexpr const char* errors[] = {"ENOSPC", "EIO", "EROFS", "EDQUOT", "EACCES", "EMFILE", "ENOMEM"};
    const Folder folder;
    const std::string trouble = folder.path() / "trouble";
    for (const Case& one : cases) {
        const DrivenSpool at_rest(folder.path() / "at-rest");
        Told before;
        if (!one.before.empty()) before = at_rest.write(one.before);
        REQUIRE(before.status == 0);
        std::vector<std::string> settings = one.settings;
        settings.push_back("while=" + trouble);
        settings.push_back("first=" + std::to_string(before.end));
        const uint64_t calls = DrivenSpool(folder.path() / "count", at_rest).calls(settings);
        uint64_t tries = 0, lost = 0, replaced = 0;
        const auto fail = [&](const std::string& what) {
            INFO(one.name << ": " << what);
            const DrivenSpool spool(folder.path() / "failed", at_rest);
            std::ofstream{trouble};
            const Told failed =
                spool.write(settings, {"DISK_FAULTS=" + what, "DISK_FAULTS_WHILE=" + trouble});
            const Told checked = spool.check();
            require_account(before, failed, checked);
            ++tries;
            replaced += failed.stats.back().at("files_set_aside");
            lost += checked.stats.front().at("damaged");
        };
        for (uint64_t number = 1; number <= calls; number += step) {
            const std::string at = std::to_string(number) + " ", error = errors[number / step % 7];
            // A call that is interrupted is tried again, as long as it takes: once is enough.
            fail("fail " + at + "EINTR");
            fail("fail-from " + at + error);
            for (const char* each : errors)
                if (step == 1 || each == error) fail("fail " + at + each);
        }
        std::printf("faults 44 to 46: %s: %lu calls, %lu tries, %lu files replaced, %lu events damaged\n",
                    one.name, calls, tries, replaced, lost);
        CHECK(tries > 0);
    }
}

}  // namespace

TEST_CASE("fault 44, 45, 46: a file system call of the spool fails", "[faults]") {
    fail_at_each(small, 47);
}

TEST_CASE("fault 44, 45, 46: each file system call of the spool fails", "[.][soak]") {
    fail_at_each(small, 1);
}

TEST_CASE("fault 47: killed at a file system call of the spool", "[faults]") {
    kill_at_each(small, 13);
}

TEST_CASE("fault 47: killed at each file system call of the spool", "[.][soak]") {
    kill_at_each(small, 1);
    kill_at_each(large, 29);
}
