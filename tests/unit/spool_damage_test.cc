// SPDX-License-Identifier: Apache-2.0
//
// Files that are not what the spool has written.
#include "agent/spool/spool.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "tests/unit/service_manager.h"
#include "tests/unit/spool_files.h"

using namespace tcptrail;
using namespace tcptrail::spool;

TEST_CASE("a damaged batch costs that batch") {
    TemporaryFolder folder;
    const auto damage =
        GENERATE(as<std::string>{},
                 "payload = zeroblob(bytes)",                              // zero-filled
                 "payload = CAST(substr(payload, 1, bytes - 1) AS BLOB)",  // cut
                 "payload = x''", "payload = 'text'", "payload_checksum = payload_checksum + 1",
                 "created_unix_nanos = created_unix_nanos + 1");
    INFO(damage);
    Open open = open_spool(options_in(folder.path()));
    for (int i = 0; i < 3; i++)
        REQUIRE(open.spool->append(messages(i * 10, 10), {}));
    sql(folder.file(), "UPDATE batch SET " + damage + " WHERE id = 2");
    auto values = drain(open);
    CHECK(values.size() == 20);
    auto stats = open.spool->stats();
    CHECK(stats.damaged == 10);
    CHECK(stats.released == 20);
    CHECK(stats.held == 0);
    CHECK(balanced(stats));
}

TEST_CASE("a damaged number of events is made up for when the spool is empty") {
    TemporaryFolder folder;
    const auto damage =
        GENERATE(as<std::string>{}, "UPDATE batch SET events = events + 3 WHERE id = 2",
                 "UPDATE batch SET events = 1 WHERE id = 2", "UPDATE batch SET events = -1 WHERE id = 2",
                 "DELETE FROM batch WHERE id = 2");
    INFO(damage);
    Open open = open_spool(options_in(folder.path()));
    for (int i = 0; i < 3; i++)
        REQUIRE(open.spool->append(messages(i * 10, 10), {}));
    sql(folder.file(), damage);
    CHECK(drain(open).size() == 20);
    auto stats = open.spool->stats();
    CHECK(stats.held == 0);
    CHECK(stats.held_bytes == 0);
    CHECK(balanced(stats));
}

TEST_CASE("a file of size 0 is a new spool") {
    TemporaryFolder folder;
    write_file(folder.file(), "");
    Open open = open_spool(options_in(folder.path()));
    CHECK(open.spool->stats().files_set_aside == 0);
    REQUIRE(open.spool->append(messages(0, 3), {}));
    CHECK(drain(open).size() == 3);
}

TEST_CASE("a file that is no spool is set aside, and a new one begun") {
    TemporaryFolder folder;
    SECTION("garbage") {
        write_file(folder.file(), std::string(100'000, 'x'));
    }
    SECTION("a short garbage") {
        write_file(folder.file(), "hello");
    }
    SECTION("the database of something else") {
        sql(folder.file(), "CREATE TABLE users (name); INSERT INTO users VALUES ('a')");
    }
    SECTION("a future version") {
        open_spool(options_in(folder.path()));
        sql(folder.file(), "PRAGMA user_version = 99");
    }
    SECTION("a spool without its tables") {
        open_spool(options_in(folder.path()));
        sql(folder.file(), "DROP TABLE batch");
    }
    SECTION("a symbolic link") {
        write_file(folder.path() + "/elsewhere", "precious");
        fs::create_symlink(folder.path() + "/elsewhere", folder.file());
    }
    {
        Open open = open_spool(options_in(folder.path()));
        CHECK(open.spool->stats().files_set_aside == 1);
        CHECK(set_aside_files(folder.path()).size() == 1);
        REQUIRE(open.spool->append(messages(0, 3), {}));
        CHECK(drain(open).size() == 3);
        CHECK(balanced(open.spool->stats()));
    }
    if (fs::exists(folder.path() + "/elsewhere"))
        CHECK(read_file(folder.path() + "/elsewhere") == "precious");
    CHECK(open_spool(options_in(folder.path())).spool->stats().files_set_aside == 0);
}

TEST_CASE("the service manager waits while what is whole is copied") {
    TemporaryFolder folder;
    {
        Open open = open_spool(options_in(folder.path()));
        REQUIRE(open.spool->append(messages(0, 100), {}));
    }
    sql(folder.file(), "UPDATE total SET checksum = checksum + 1");
    const tests::Manager manager;
    Open open = open_spool(options_in(folder.path()));
    CHECK(open.spool->stats().files_set_aside == 1);
    CHECK(manager.heard().starts_with("EXTEND_TIMEOUT_USEC="));
    CHECK(drain(open).size() == 100);
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

TEST_CASE("a truncated file gives back what is left of it") {
    TemporaryFolder folder;
    {
        Open open = open_spool(options_in(folder.path()));
        for (int i = 0; i < 40; i++)
            REQUIRE(open.spool->append(messages(i, 1, 3000), {}));
    }
    const auto size = fs::file_size(folder.file());
    fs::resize_file(folder.file(), size / 2 / 4096 * 4096);
    Open open = open_spool(options_in(folder.path()));
    auto values = drain(open);
    auto stats = open.spool->stats();
    CHECK(values.size() > 5);
    CHECK(values.size() < 40);
    CHECK(stats.files_set_aside == 1);
    CHECK(stats.found == values.size());
    CHECK(stats.in == 40);
    CHECK(stats.damaged == 40 - values.size());
    CHECK(stats.held == 0);
    CHECK(balanced(stats));
}

TEST_CASE("a flipped byte anywhere costs little, and is counted") {
    TemporaryFolder folder;
    constexpr int batches = 30;
    std::set<std::string> whole;
    {
        Open open = open_spool(options_in(folder.path()));
        for (int i = 0; i < batches; i++) {
            auto batch = messages(i * 4, 4, i % 3 == 0 ? 2000 : 100);
            for (const Message& message : batch)
                whole.insert(message.value);
            REQUIRE(open.spool->append(batch, {}));
        }
    }
    const std::string good = read_file(folder.file());
    // A prime step visits every kind of page and every place in it.
    const size_t step = std::getenv("TCPTRAIL_EVERY_BYTE") ? 1 : 211;
    for (size_t at = 0; at < good.size(); at += at < 200 ? 1 : step) {
        INFO("byte " << at << " of " << good.size());
        TemporaryFolder copy;
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ (1 << at % 8));
        write_file(copy.file(), bad);
        Open open = open_spool(options_in(copy.path()));
        auto values = drain(open);
        std::set<std::string> distinct(values.begin(), values.end());
        auto stats = open.spool->stats();
        CHECK(distinct.size() == values.size());
        CHECK(std::includes(whole.begin(), whole.end(), distinct.begin(), distinct.end()));
        CHECK(balanced(stats));
        CHECK(stats.held == 0);
        CHECK(stats.released == values.size());
        if (stats.files_set_aside == 0) CHECK(values.size() + stats.damaged == whole.size());
        // The first two pages hold the way to all others; any other page costs what lies on it.
        if (at >= 2 * 8192) CHECK(values.size() > whole.size() / 3);
        // What came after it works.
        REQUIRE(open.spool->append(messages(1000, 2), {}));
        CHECK(drain(open).size() == 2);
    }
}

TEST_CASE("a page that breaks while the spool runs costs what lies on it") {
    TemporaryFolder folder;
    {
        Open open = open_spool(options_in(folder.path()));
        for (int i = 0; i < 200; i++)
            REQUIRE(open.spool->append(messages(i, 1, 300), {}));
    }
    Open open = open_spool(options_in(folder.path()));
    auto first = open.reader->next();
    REQUIRE((first && *first));
    {
        std::fstream file(folder.file(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(4096 * 10);
        file << std::string(4096, 'x');
    }
    REQUIRE(open.spool->append(messages(200, 1, 300), {}));
    open.reader->release((*first)->id);
    auto values = drain(open);
    auto stats = open.spool->stats();
    CHECK(stats.files_set_aside == 1);
    CHECK(values.size() > 150);
    CHECK(values.size() < 200);
    CHECK(stats.damaged + values.size() + 1 == 201);
    CHECK(stats.held == 0);
    CHECK(balanced(stats));
}
