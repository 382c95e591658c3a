// SPDX-License-Identifier: Apache-2.0
//
// Fault 49: what may lie where the spool's files should. unit/spool_damage_test has what may be in them.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "tests/catch.h"
#include "tests/faults/driven_spool.h"
#include "tests/kafka/setting.h"

using namespace tests;

namespace {

namespace fs = std::filesystem;

enum class Then {
    works,
    set_aside,  // works, and what was there was renamed
    in_memory,  // works as long as it runs; what is in the way stays there
    refused,    // a path that can be no spool is said so
};

struct Odd {
    const char* what;
    Then then;
    std::function<void(const fs::path& folder)> make;
};

std::function<void(const fs::path&)> bytes(const std::string& name, const std::string& content) {
    return [=](const fs::path& folder) { std::ofstream(folder / name, std::ios::binary) << content; };
}
std::function<void(const fs::path&)> link(const std::string& name, const std::string& to) {
    return [=](const fs::path& folder) { fs::create_symlink(to, folder / name); };
}
std::function<void(const fs::path&)> directory(const std::string& name) {
    return [=](const fs::path& folder) { fs::create_directory(folder / name); };
}
// Who opens one for reading alone waits for ever.
std::function<void(const fs::path&)> pipe(const std::string& name) {
    return [=](const fs::path& folder) { REQUIRE(mkfifo((folder / name).c_str(), 0600) == 0); };
}

const std::vector<Odd> oddities = {
    {"file of one byte", Then::works, bytes("spool.db", "S")},
    {"file of zeros", Then::set_aside, bytes("spool.db", std::string(65536, '\0'))},
    {"file of ones", Then::set_aside, bytes("spool.db", std::string(65536, '\xff'))},
    {"SQLite's first words alone", Then::set_aside, bytes("spool.db", std::string("SQLite format 3\0", 16))},
    {"link to another's file", Then::set_aside, link("spool.db", "../precious")},
    {"link to nothing", Then::set_aside, link("spool.db", "../nothing")},
    {"another name of another's file", Then::set_aside,
     [](const fs::path& folder) {
         fs::create_hard_link(folder.parent_path() / "precious", folder / "spool.db");
     }},
    {"directory", Then::in_memory, directory("spool.db")},
    {"pipe", Then::in_memory, pipe("spool.db")},
    {"log of garbage", Then::works, bytes("spool.db-wal", std::string(50'000, 'w'))},
    {"log that is a link", Then::works, link("spool.db-wal", "../precious")},
    {"log that is a pipe", Then::works, pipe("spool.db-wal")},
    {"log that is a directory", Then::in_memory, directory("spool.db-wal")},
    {"rollback journal of garbage", Then::works, bytes("spool.db-journal", std::string(9000, '\xd9'))},
    {"rollback journal that is a link", Then::works, link("spool.db-journal", "../precious")},
    {"shared memory that is a link", Then::in_memory, link("spool.db-shm", "../precious")},
    {"shared memory that is a pipe", Then::in_memory, pipe("spool.db-shm")},
    {"lock that is a link", Then::refused, link("lock", "../precious")},
    {"lock that is a pipe", Then::works, pipe("lock")},
    {"lock that is a directory", Then::in_memory, directory("lock")},
    {"folder behind a link", Then::works,
     [](const fs::path& folder) {
         fs::rename(folder, folder.parent_path() / "real");
         fs::create_symlink("real", folder);
     }},
    {"folder behind a link to nothing", Then::refused,
     [](const fs::path& folder) {
         fs::remove(folder);
         fs::create_symlink("nothing", folder);
     }},
    {"file in the folder's place", Then::refused,
     [](const fs::path& folder) {
         fs::remove(folder);
         std::ofstream(folder) << "x";
     }},
};

}  // namespace

TEST_CASE("fault 49: something else lies where the spool's files should", "[faults]") {
    for (const Odd& odd : oddities) {
        const Folder folder;
        const DrivenSpool spool(folder.path());
        std::ofstream(folder.path() / "precious") << "precious";
        fs::create_directory(spool.path());
        odd.make(spool.path());
        const Told told = spool.write({"appends=6"}, {}, seconds(10));
        INFO(odd.what << "\n" << told.output);
        std::string precious;
        std::ifstream(folder.path() / "precious") >> precious;
        CHECK(precious == "precious");
        if (odd.then == Then::refused) {
            CHECK(told.status == 1);
            CHECK(told.errors.size() == 1);
            continue;
        }
        REQUIRE(told.status == 0);
        const auto& stats = told.stats.back();
        CHECK(stats.at("in") == 30);
        CHECK(stats.at("released") == 25);
        CHECK(is_balanced(stats));
        CHECK(stats.at("files_set_aside") == (odd.then == Then::set_aside ? 1 : 0));
        const Told checked = spool.check();
        INFO(checked.output);
        CHECK(checked.status == 0);
        CHECK(checked.found == (odd.then == Then::in_memory ? 0 : 30));
    }
}

// FAT and exFAT, for example. What lies behind the damage cannot be read beside the file there.
TEST_CASE("fault 49: the log is damaged where a file has no second name", "[faults]") {
    const Folder folder;
    const DrivenSpool killed(folder.path() / "killed");
    // Long enough for the accounts beside the file to be written, and all of it in the log.
    const Told told = killed.write({"appends=1000000", "fill=yes", "pause_ms=20"}, {}, seconds(3));
    REQUIRE(told.status == 137);
    REQUIRE(told.kept > 100);
    const fs::path log = killed.path() / "spool.db-wal";
    {
        std::fstream file(log, std::ios::in | std::ios::out | std::ios::binary);
        const auto middle = static_cast<std::streamoff>(fs::file_size(log) / 2);
        file.seekg(middle);
        const char byte = static_cast<char>(file.get() ^ 1);
        file.seekp(middle);
        file.put(byte);
        REQUIRE(file.flush());
    }
    const DrivenSpool saved(folder.path() / "saved", killed);
    const Told before = killed.check({built("tests/tools/deny"), "EPERM", "link,linkat"});
    // The file itself, which the accounts name by its inode.
    for (const auto& entry : fs::directory_iterator(saved.path()))
        fs::copy_file(entry.path(), killed.path() / entry.path().filename(),
                      fs::copy_options::overwrite_existing);
    const Told behind = killed.check();
    for (const Told* checked : {&before, &behind}) {
        REQUIRE(checked->status == 0);
        CHECK(checked->errors.empty());
        const auto& stats = checked->stats.back();
        CHECK(stats.at("held") == 0);
        CHECK(stats.at("settled") == 1);
        CHECK(stats.at("in") == checked->read.size() + stats.at("damaged"));
        CHECK(is_balanced(stats));
    }
    CHECK(behind.stats.back().at("in") >= told.kept);
    // As much as the accounts of the last second know of.
    CHECK(before.stats.back().at("damaged") > 0);
    CHECK(!before.read.empty());
    CHECK(before.read.size() < behind.read.size());
    CHECK(std::ranges::includes(behind.read, before.read));
}
