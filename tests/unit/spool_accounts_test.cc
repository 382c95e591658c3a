// SPDX-License-Identifier: Apache-2.0
#include <xxhash.h>

#include "agent/spool/inspect.h"
#include "tests/unit/spool_files.h"

using namespace tcptrail;
using namespace tcptrail::spool;

namespace {

// A spool of format 1, as version 0.1.0 before its release has made them, with three batches of two messages.
void make_format_1(const std::string& file) {
    {
        Open open = open_spool(options_in(fs::path(file).parent_path()));
        for (int i = 0; i < 3; i++)
            REQUIRE(open.spool->append(messages(i * 2, 2), "a mark"));
    }
    uint64_t bytes = 0;
    {
        PayloadBuilder builder;
        for (int i = 0; i < 3; i++) {
            for (const Message& message : messages(i * 2, 2))
                builder.add(message);
            bytes += builder.take().size();
        }
    }
    const auto sum = static_cast<int64_t>(checksum(RowHead{3, 0, 6, bytes}));
    sql(file,
        "DROP TABLE set_aside; DROP TABLE total; CREATE TABLE total (\n    one INTEGER PRIMARY KEY CHECK "
        "(one = 1),\n    "
        "events INTEGER NOT NULL,\n    bytes INTEGER NOT NULL,\n    last_id INTEGER NOT NULL,\n    "
        "checksum INTEGER NOT NULL\n); INSERT INTO total VALUES (1, 6, " +
            std::to_string(bytes) + ", 3, " + std::to_string(sum) + "); PRAGMA user_version = 1");
}

}  // namespace

TEST_CASE("the accounts go on over restarts") {
    TemporaryFolder folder;
    {
        Open open = open_spool(options_in(folder.path(), 10'000));
        for (int i = 0; i < 10; i++)
            REQUIRE(open.spool->append(messages(i, 1, 2000), {}));
        sql(folder.file(), "UPDATE batch SET payload = x'' WHERE id = 8");
        for (int i = 0; i < 2; i++) {
            auto batch = open.reader->next();
            REQUIRE((batch && *batch));
            open.reader->release((*batch)->id);
        }
        REQUIRE(open.spool->maintain());
    }
    Open open = open_spool(options_in(folder.path(), 10'000));
    auto stats = open.spool->stats();
    CHECK(stats.in == 10);
    CHECK(stats.evicted == 6);
    CHECK(stats.damaged == 1);
    CHECK(stats.released == 2);
    CHECK(stats.held == 1);
    CHECK(stats.found == 1);
    CHECK(balanced(stats));
    REQUIRE(open.spool->append(messages(0, 5), {}));
    CHECK(drain(open).size() == 6);
    stats = open.spool->stats();
    CHECK(stats.in == 15);
    CHECK(stats.released == 8);
    CHECK(balanced(stats));
}

TEST_CASE("the accounts go on in the file that replaces a broken one") {
    TemporaryFolder folder;
    {
        Open open = open_spool(options_in(folder.path()));
        for (int i = 0; i < 200; i++)
            REQUIRE(open.spool->append(messages(i, 1, 300), {}));
        for (int i = 0; i < 20; i++) {
            auto batch = open.reader->next();
            REQUIRE((batch && *batch));
            open.reader->release((*batch)->id);
        }
        REQUIRE(open.spool->maintain());
    }
    {
        std::fstream file(folder.file(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(8192 * 4);
        file << std::string(8192, 'x');
    }
    uint64_t damaged = 0;
    {
        Open open = open_spool(options_in(folder.path()));
        const auto values = drain(open);
        const auto stats = open.spool->stats();
        damaged = stats.damaged;
        CHECK(stats.files_set_aside == 1);
        CHECK(damaged > 0);
        CHECK(stats.in == 200);
        CHECK(stats.released == 20 + values.size());
        CHECK(balanced(stats));
    }
    Open open = open_spool(options_in(folder.path()));
    CHECK(open.spool->stats().files_set_aside == 0);
    CHECK(open.spool->stats().damaged == damaged);
    CHECK(balanced(open.spool->stats()));
}

TEST_CASE("what memory had no room for is in the accounts of the file") {
    TemporaryFolder folder;
    {
        Open open = open_spool(options_in(folder.path()));
        sqlite3* other = nullptr;
        REQUIRE(sqlite3_open(folder.file().c_str(), &other) == SQLITE_OK);
        REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
        (void)open.spool->append(messages(0, 1, 1'000'000), {});
        REQUIRE(becomes_refused(*open.spool));
        for (int i = 1; i < 20; i++)
            CHECK_FALSE(open.spool->append(messages(i, 1, 1'000'000), {}));
        CHECK(open.spool->stats().memory_full > 0);
        CHECK(balanced(open.spool->stats()));
        sqlite3_close(other);
    }
    const auto stats = open_spool(options_in(folder.path())).spool->stats();
    CHECK(stats.in == 20);
    CHECK(stats.memory_full > 0);
    CHECK(balanced(stats));
}

TEST_CASE("rows that cannot be seen have the file replaced before they are counted as damaged") {
    TemporaryFolder folder;
    Open open = open_spool(options_in(folder.path()));
    for (int i = 0; i < 5; i++)
        REQUIRE(open.spool->append(messages(i * 10, 10), {}));
    sqlite3* other = nullptr;
    REQUIRE(sqlite3_open(folder.file().c_str(), &other) == SQLITE_OK);
    REQUIRE(sqlite3_exec(other, "DELETE FROM batch WHERE id = 3", nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(other);
    CHECK(drain(open).size() == 40);
    for (int i = 0; i < 3; i++)
        (void)open.spool->maintain();
    const auto stats = open.spool->stats();
    CHECK(stats.files_set_aside == 1);
    CHECK(stats.released == 40);
    CHECK(stats.damaged == 10);
    CHECK(stats.held == 0);
    CHECK(balanced(stats));
}

TEST_CASE("a spool of format 1 becomes one of format 2") {
    TemporaryFolder folder;
    make_format_1(folder.file());
    SECTION("with all that it holds") {
        for (int start = 0; start < 2; start++) {
            Open open = open_spool(options_in(folder.path()));
            const auto stats = open.spool->stats();
            CHECK(stats.files_set_aside == 0);
            CHECK(stats.found == 6);
            CHECK(stats.in == 6);
            CHECK(open.spool->committed_mark().empty());
        }
        Open open = open_spool(options_in(folder.path()));
        REQUIRE(open.spool->append(messages(6, 2), "new"));
        CHECK(drain(open).size() == 8);
        CHECK(open.spool->stats().released == 8);
    }
    SECTION("one with damaged totals is set aside, and what it holds is saved") {
        sql(folder.file(), "UPDATE total SET events = 9");
        Open open = open_spool(options_in(folder.path()));
        CHECK(open.spool->stats().files_set_aside == 1);
        CHECK(drain(open).size() == 6);
        CHECK(balanced(open.spool->stats()));
    }
}

TEST_CASE("a spool of a later format is kept as it is, for the program that knows it") {
    TemporaryFolder folder;
    {
        Open open = open_spool(options_in(folder.path()));
        REQUIRE(open.spool->append(messages(0, 3), {}));
    }
    // What can be read of it comes over, whatever else its tables have.
    if (GENERATE(true, false))
        sql(folder.file(), "ALTER TABLE batch ADD COLUMN codec; ALTER TABLE total ADD COLUMN later");
    sql(folder.file(), "PRAGMA user_version = 3; PRAGMA wal_checkpoint(TRUNCATE)");
    const std::string before = read_file(folder.file());
    Open open = open_spool(options_in(folder.path()));
    CHECK(open.spool->stats().files_set_aside == 1);
    CHECK(open.spool->stats().held == 3);
    CHECK(open.spool->stats().in == 3);
    REQUIRE(set_aside_files(folder.path()).size() == 1);
    CHECK(read_file(folder.path() + "/" + set_aside_files(folder.path())[0]) == before);
}

TEST_CASE("messages that the brokers refuse are kept, the newest of them, over restarts and salvage") {
    TemporaryFolder folder;
    {
        Open open = open_spool(options_in(folder.path()));
        for (int i = 0; i < 70; i++)
            REQUIRE(open.spool->append(messages(i * 2, 2), {}));
        for (int i = 0; i < 70; i++) {
            auto batch = open.reader->next();
            REQUIRE((batch && *batch));
            open.reader->set_aside((*batch)->id, (*batch)->messages[1]);
            open.reader->release((*batch)->id);
            REQUIRE(open.spool->maintain());
        }
        const auto stats = open.spool->stats();
        CHECK(stats.too_large == 70);
        CHECK(stats.released == 70);
        CHECK(balanced(stats));
    }
    const bool broken = GENERATE(false, true);
    if (broken) sql(folder.file(), "UPDATE total SET events = 5");
    {
        CHECK(open_spool(options_in(folder.path())).spool->stats().files_set_aside == (broken ? 1 : 0));
    }
    auto inspector = Inspector::open(folder.file());
    REQUIRE(inspector);
    std::vector<std::string> values;
    auto damaged = inspector->each_set_aside([&](const MessageView& message) {
        values.emplace_back(message.value);
        return true;
    });
    REQUIRE(damaged);
    CHECK(*damaged == 0);
    REQUIRE(values.size() == max_set_aside);
    CHECK(values.front() == messages(13, 1)[0].value);
    CHECK(values.back() == messages(139, 1)[0].value);
}
