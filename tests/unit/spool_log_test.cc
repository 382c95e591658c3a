// SPDX-License-Identifier: Apache-2.0
//
// The write-ahead log of a spool, when it is damaged, torn or gone.
#include "agent/spool/log_repair.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <thread>

#include "agent/spool/accounts.h"
#include "agent/spool/spool.h"
#include "tests/unit/spool_files.h"

using namespace tcptrail;
using namespace tcptrail::spool;

namespace {

// When they have come to the commit of that mark.
Accounts accounts_with(const TemporaryFolder& folder, const std::string& mark) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    for (;;) {
        if (const auto known = read_accounts(folder.file()); known && known->mark == mark) return *known;
        REQUIRE(std::chrono::steady_clock::now() < end);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

// What a killed process leaves: twelve batches in the log alone, and the accounts of the last commit.
struct Killed {
    TemporaryFolder folder;
    std::set<std::string> whole;
    std::string log;
    Accounts accounts;

    Killed() {
        TemporaryFolder running;
        Open open = open_spool(options_in(running.path()));
        for (int i = 0; i < 12; i++) {
            auto batch = messages(i * 4, 4, 300);
            for (const Message& message : batch)
                whole.insert(message.value);
            REQUIRE(open.spool->append(batch, "mark " + std::to_string(i)));
        }
        accounts = accounts_with(running, "mark 11");
        fs::copy_file(running.file(), folder.file());
        log = read_file(running.file() + "-wal");
        REQUIRE(log.size() > 10'000);
    }

    // A copy of it, with that log.
    void leave_in(const TemporaryFolder& copy, const std::string& its_log) const {
        fs::copy_file(folder.file(), copy.file());
        write_file(copy.file() + "-wal", its_log);
        struct stat status{};
        REQUIRE(stat(copy.file().c_str(), &status) == 0);
        Accounts known = accounts;
        known.inode = status.st_ino;
        REQUIRE(write_accounts(copy.file(), known));
    }
};

}  // namespace

TEST_CASE("a flipped byte anywhere in the log costs what it lies in, and is counted") {
    const Killed killed;
    const bool thorough = std::getenv("TCPTRAIL_EVERY_BYTE");
    constexpr size_t header = 32, frame_header = 24, frame = frame_header + 8192;
    // Of pages a sample, of the header and of frames' headers each byte.
    const auto step = [&](size_t at) -> size_t {
        const bool in_header = at < header || (at - header) % frame < frame_header;
        if (in_header)
            return thorough || (at < header ? 0 : (at - header) / frame) % 8 == 0 ? 1 : frame_header;
        return thorough ? 7 : 1999;
    };
    constexpr size_t most_in_a_frame = 6 * 4;  // batches of more than 1200 bytes, of four events each
    size_t repaired = 0, lossy = 0;
    for (size_t at = 0; at < killed.log.size(); at += step(at)) {
        INFO("byte " << at << " of " << killed.log.size());
        TemporaryFolder copy;
        std::string bad = killed.log;
        bad[at] = static_cast<char>(bad[at] ^ (1 << at % 8));
        killed.leave_in(copy, bad);
        Open open = open_spool(options_in(copy.path()));
        CHECK(open.spool->committed_mark() == "mark 11");
        const auto values = drain(open);
        const auto stats = open.spool->stats();
        CHECK(stats.in == killed.whole.size());
        CHECK(values.size() + stats.damaged == killed.whole.size());
        // What lies in one frame: a page of batches that was not written again.
        CHECK(values.size() >= killed.whole.size() - most_in_a_frame);
        CHECK(stats.held == 0);
        CHECK(balanced(stats));
        repaired += stats.frames_repaired > 0;
        lossy += values.size() < killed.whole.size();
    }
    CHECK(repaired > 0);
    CHECK(lossy > 0);
}

TEST_CASE("what a power cut has torn in the log is no damage, and is counted") {
    Killed killed;
    const auto boot = GENERATE(as<uint64_t>{}, 0, 7);
    killed.accounts.boot = boot;
    std::string bad = killed.log;
    bad[bad.size() / 2] ^= 1;
    TemporaryFolder copy;
    killed.leave_in(copy, bad);
    Open open = open_spool(options_in(copy.path()));
    const auto values = drain(open);
    const auto stats = open.spool->stats();
    CHECK(stats.frames_repaired == 0);
    CHECK(!values.empty());
    CHECK(values.size() < killed.whole.size());
    CHECK(stats.in == killed.whole.size());
    CHECK(stats.damaged == killed.whole.size() - values.size());
    CHECK(stats.lost_before == stats.damaged);
    CHECK(balanced(stats));
}

TEST_CASE("what an earlier round has left in the log stays out of it") {
    TemporaryFolder running;
    Open open = open_spool(options_in(running.path()));
    for (int i = 0; i < 20; i++)
        REQUIRE(open.spool->append(messages(i, 1, 3000), {}));
    CHECK(drain(open).size() == 20);
    sql(running.file(), "PRAGMA wal_checkpoint(RESTART)");
    for (int i = 0; i < 3; i++)
        REQUIRE(open.spool->append(messages(100 + i, 1, 300), {}));
    TemporaryFolder killed;
    fs::copy_file(running.file(), killed.file());
    std::string log = read_file(running.file() + "-wal");
    write_file(killed.file() + "-wal", log);
    const std::string mended = killed.path() + "/mended";
    CHECK(repair_log(killed.file(), mended) == 0);
    CHECK(!fs::exists(mended + "-wal"));
    // The second frame of this round.
    log[32 + 8192 + 24 + 100] ^= 1;
    write_file(killed.file() + "-wal", log);
    CHECK(repair_log(killed.file(), mended) == 1);
    CHECK(fs::file_size(mended + "-wal") < log.size() / 2);
    CHECK(read_file(killed.file() + "-wal") == log);
}

TEST_CASE("what SQLite has dropped from the log, and written over in part, stays dropped") {
    Killed killed;
    killed.accounts.boot = 7;
    std::string bad = killed.log;
    bad[bad.size() / 2] ^= 1;
    TemporaryFolder running;
    killed.leave_in(running, bad);
    std::set<std::string> left;
    TemporaryFolder again;
    Killed next;
    {
        Open open = open_spool(options_in(running.path()));
        for (auto batch = open.reader->next(); batch && *batch; batch = open.reader->next())
            for (const MessageView& message : (*batch)->messages)
                left.emplace(message.value);
        REQUIRE(open.spool->append(messages(1000, 1), "a later mark"));
        left.emplace(messages(1000, 1).front().value);
        // Killed: the log has frames of before behind its end, with its salts.
        next.accounts = accounts_with(running, "a later mark");
        next.log = read_file(running.file() + "-wal");
        fs::remove(next.folder.file());
        fs::copy_file(running.file(), next.folder.file());
    }
    REQUIRE(repair_log(next.folder.file(), again.path() + "/mended") == 0);
    next.leave_in(again, next.log);
    Open open = open_spool(options_in(again.path()));
    const auto values = drain(open);
    CHECK(std::set(values.begin(), values.end()) == left);
    CHECK(open.spool->stats().frames_repaired == 0);
    CHECK(balanced(open.spool->stats()));
}

TEST_CASE("a loss that could not be written down is counted once") {
    Killed killed;
    killed.accounts.boot = 7;
    std::string bad = killed.log;
    bad[bad.size() / 2] ^= 1;
    TemporaryFolder folder;
    killed.leave_in(folder, bad);
    uint64_t lost = 0;
    for (int start = 0; start < 3; start++) {
        TemporaryFolder copy;
        fs::copy(folder.path(), copy.path(),
                 fs::copy_options::recursive | fs::copy_options::overwrite_existing);
        auto known = read_accounts(copy.file());
        REQUIRE(known);
        struct stat status{};
        REQUIRE(stat(copy.file().c_str(), &status) == 0);
        known->inode = status.st_ino;
        REQUIRE(write_accounts(copy.file(), *known));
        // Another writes, so that the appender cannot.
        sqlite3* other = nullptr;
        Open open = open_spool(options_in(copy.path()));
        REQUIRE(sqlite3_open(copy.file().c_str(), &other) == SQLITE_OK);
        REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
        if (start > 0) CHECK(open.spool->stats().damaged == lost);
        lost = open.spool->stats().damaged;
        CHECK(lost > 0);
        open = {};
        sqlite3_close(other);
        fs::remove(folder.file() + "-wal");
        for (const auto& entry : fs::directory_iterator(copy.path()))
            fs::copy_file(entry.path(), fs::path(folder.path()) / entry.path().filename(),
                          fs::copy_options::overwrite_existing);
    }
}

TEST_CASE("a log that is removed while the spool runs costs nothing") {
    TemporaryFolder folder;
    std::set<std::string> expected;
    {
        Open open = open_spool(options_in(folder.path()));
        REQUIRE(open.spool->append(messages(0, 10), {}));
        REQUIRE(fs::remove(folder.file() + "-wal"));
        REQUIRE(open.spool->append(messages(10, 10), {}));
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        while (!fs::exists(folder.file() + "-wal")) {
            REQUIRE(std::chrono::steady_clock::now() < end);
            (void)open.spool->maintain();
        }
    }
    Open open = open_spool(options_in(folder.path()));
    CHECK(drain(open).size() == 20);
    CHECK(open.spool->stats().damaged == 0);
}

TEST_CASE("a log of garbage, or one of another database, is passed over") {
    TemporaryFolder folder;
    {
        Open open = open_spool(options_in(folder.path()));
        REQUIRE(open.spool->append(messages(0, 3), {}));
    }
    write_file(folder.file() + "-wal", std::string(50'000, 'w'));
    Open open = open_spool(options_in(folder.path()));
    CHECK(open.spool->stats().found == 3);
    CHECK(drain(open).size() == 3);
}
