// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/spool_files.h"

using namespace tcptrail;
using namespace tcptrail::spool;

TEST_CASE("a mark is committed with its messages, and is there after a restart") {
    TemporaryFolder folder;
    {
        Open open = open_spool(options_in(folder.path()));
        CHECK(open.spool->committed_mark().empty());
        CHECK(open.spool->settled());
        REQUIRE(open.spool->append(messages(0, 3), "first"));
        CHECK(open.spool->committed_mark() == "first");
        REQUIRE(open.spool->append(messages(3, 3), {}));
        CHECK(open.spool->committed_mark() == "first");
        // Without messages.
        REQUIRE(open.spool->append({}, std::string("second\0with any bytes\xff", 23)));
        CHECK(open.spool->settled());
    }
    {
        Open open = open_spool(options_in(folder.path()));
        CHECK(open.spool->committed_mark() == std::string("second\0with any bytes\xff", 23));
        CHECK(drain(open).size() == 6);
        CHECK_FALSE(open.spool->append(messages(6, 1), std::string(max_mark_bytes + 1, 'x')));
        CHECK(open.spool->stats().held == 1);
        REQUIRE(open.spool->append({}, std::string(max_mark_bytes, 'x')));
    }
    CHECK(open_spool(options_in(folder.path())).spool->committed_mark() == std::string(max_mark_bytes, 'x'));
}

TEST_CASE("a mark waits in memory with its messages") {
    TemporaryFolder folder;
    Open open = open_spool(options_in(folder.path()));
    REQUIRE(open.spool->append(messages(0, 1), "before"));
    sqlite3* other = nullptr;
    REQUIRE(sqlite3_open(folder.file().c_str(), &other) == SQLITE_OK);
    REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
    (void)open.spool->append(messages(1, 1), "during");
    REQUIRE(becomes_refused(*open.spool));
    CHECK_FALSE(open.spool->append(messages(2, 1), "later"));
    CHECK(open.spool->committed_mark() == "before");
    CHECK_FALSE(open.spool->settled());

    SECTION("and is committed with them") {
        sqlite3_close(other);
        REQUIRE(open.spool->maintain());
        CHECK(open.spool->committed_mark() == "later");
        CHECK(open.spool->settled());
    }
    SECTION("and moves on when they had to be dropped") {
        for (int i = 0; i < 20; i++)
            CHECK_FALSE(open.spool->append(messages(i, 1, 1'000'000), "mark " + std::to_string(i)));
        sqlite3_close(other);
        REQUIRE(open.spool->maintain());
        CHECK(open.spool->stats().memory_full > 0);
        CHECK(open.spool->committed_mark() == "mark 19");
        CHECK(open.spool->settled());
    }
    SECTION("and is the old one if the process ends before") {
        TemporaryFolder copy;
        for (const char* suffix : {"", "-wal"})
            fs::copy_file(folder.file() + suffix, copy.file() + suffix);
        sqlite3_close(other);
        CHECK(open_spool(options_in(copy.path())).spool->committed_mark() == "before");
    }
}

TEST_CASE("a damaged mark reads as empty, and costs nothing else") {
    TemporaryFolder folder;
    {
        Open open = open_spool(options_in(folder.path()));
        REQUIRE(open.spool->append(messages(0, 3), "whole"));
    }
    sql(folder.file(), GENERATE(as<std::string>{}, "UPDATE total SET mark = CAST('whale' AS BLOB)",
                                "UPDATE total SET mark = zeroblob(513)",
                                "UPDATE total SET mark_checksum = mark_checksum + 1"));
    Open open = open_spool(options_in(folder.path()));
    CHECK(open.spool->committed_mark().empty());
    CHECK(open.spool->stats().files_set_aside == 0);
    CHECK(drain(open).size() == 3);
}

TEST_CASE("the mark of a file that had to be replaced is kept") {
    TemporaryFolder folder;
    SECTION("at the start") {
        {
            Open open = open_spool(options_in(folder.path()));
            REQUIRE(open.spool->append(messages(0, 3), "kept"));
        }
        sql(folder.file(), "UPDATE total SET events = 99");
    }
    SECTION("while the spool is in use") {
        Open open = open_spool(options_in(folder.path()));
        REQUIRE(open.spool->append(messages(0, 3), "kept"));
        sql(folder.file(), "DELETE FROM batch");
        CHECK_FALSE(open.reader->next());
        REQUIRE(open.spool->maintain());
        CHECK(open.spool->stats().files_set_aside == 1);
        CHECK(open.spool->committed_mark() == "kept");
    }
    CHECK(open_spool(options_in(folder.path())).spool->committed_mark() == "kept");
    CHECK(set_aside_files(folder.path()).size() == 1);
}
