// SPDX-License-Identifier: Apache-2.0
//
// Files that are not what the spool has written.
#include "agent/spool/spool.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <utility>

#include "agent/spool/accounts.h"
#include "agent/spool/first_page.h"
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
    constexpr size_t most_on_a_page = 15 * 4;  // batches of at least 500 bytes, of four events each
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
    const std::string accounts = read_file(folder.file() + "-accounts");
    // A prime step visits every kind of page and every place in it.
    const size_t step = std::getenv("TCPTRAIL_EVERY_BYTE") ? 1 : 211;
    // The beginnings of the first page and of the table's root, too: their headers.
    std::set<size_t> places;
    for (size_t at = 0; at < good.size(); at += step)
        places.insert(at);
    for (size_t at = 0; at < 200; at++)
        places.insert({at, 8192 + at});
    for (const size_t at : places) {
        INFO("byte " << at << " of " << good.size());
        TemporaryFolder copy;
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ (1 << at % 8));
        write_file(copy.file(), bad);
        write_file(copy.file() + "-accounts", accounts);
        Open open = open_spool(options_in(copy.path()));
        auto values = drain(open);
        std::set<std::string> distinct(values.begin(), values.end());
        auto stats = open.spool->stats();
        CHECK(distinct.size() == values.size());
        CHECK(std::includes(whole.begin(), whole.end(), distinct.begin(), distinct.end()));
        CHECK(balanced(stats));
        CHECK(stats.held == 0);
        CHECK(stats.released == values.size());
        CHECK(values.size() + stats.damaged == whole.size());
        // A page costs what lies on it; the first two, which hold the way to all others, nothing.
        CHECK(values.size() >= whole.size() - most_on_a_page);
        if (at < size_t{2 * 8192}) CHECK(values.size() == whole.size());
        // What came after it works.
        REQUIRE(open.spool->append(messages(1000, 2), {}));
        CHECK(drain(open).size() == 2);
    }
}

TEST_CASE("what was in a file that is gone, or is another one now, is counted") {
    TemporaryFolder folder;
    {
        Open open = open_spool(options_in(folder.path()));
        REQUIRE(open.spool->append(messages(0, 30), "mark"));
        auto batch = open.reader->next();
        REQUIRE((batch && *batch));
        REQUIRE(open.spool->append(messages(30, 12), "the last mark"));
        open.reader->release((*batch)->id);
        REQUIRE(open.spool->maintain());
    }
    size_t set_aside = 1;
    SECTION("gone") {
        fs::remove(folder.file());
        set_aside = 0;
    }
    SECTION("garbage") {
        write_file(folder.file(), std::string(100'000, 'x'));
    }
    SECTION("another database") {
        fs::remove(folder.file());
        sql(folder.file(), "CREATE TABLE users (name); INSERT INTO users VALUES ('a')");
    }
    Open open = open_spool(options_in(folder.path()));
    CHECK(open.spool->committed_mark() == "the last mark");
    const auto stats = open.spool->stats();
    CHECK(stats.files_set_aside == set_aside);
    CHECK(stats.in == 42);
    CHECK(stats.released == 30);
    CHECK(stats.damaged == 12);
    CHECK(stats.lost_before == 12);
    CHECK(stats.held == 0);
    REQUIRE(open.spool->append(messages(42, 3), {}));
    CHECK(drain(open).size() == 3);
    CHECK(balanced(open.spool->stats()));
    if (set_aside == 1) CHECK(set_aside_files(folder.path()).size() == 1);
}

TEST_CASE("accounts of another file say nothing of one that can be read") {
    TemporaryFolder folder;
    TemporaryFolder other;
    for (const auto& [path, count] : {std::pair(folder.path(), 3), {other.path(), 50}}) {
        Open open = open_spool(options_in(path));
        REQUIRE(open.spool->append(messages(0, count), {}));
    }
    fs::copy_file(other.file() + "-accounts", folder.file() + "-accounts",
                  fs::copy_options::overwrite_existing);
    Open open = open_spool(options_in(folder.path()));
    CHECK(open.spool->stats().in == 3);
    CHECK(drain(open).size() == 3);
}

TEST_CASE("damage to the way to the batches costs none") {
    TemporaryFolder folder;
    constexpr int batches = 300;
    {
        Open open = open_spool(options_in(folder.path()));
        for (int i = 0; i < batches; i++)
            REQUIRE(open.spool->append(messages(i, 1, i % 9 == 0 ? 20'000 : 900), {}));
    }
    uint64_t at = 0;
    std::string bytes;
    SECTION("the table's first page is all zeros") {
        at = 8192;
        bytes = std::string(8192, '\0');
    }
    SECTION("its type is another") {
        at = 8192;
        bytes = "\x0d";
    }
    SECTION("the file's first page is all zeros") {
        bytes = std::string(8192, '\0');
    }
    SECTION("there are fewer pages, it says") {
        at = 28;
        bytes = std::string("\0\0\0\x05", 4);
    }
    SECTION("the first two pages are") {
        bytes = std::string(size_t{2 * 8192}, '\0');
    }
    {
        std::fstream file(folder.file(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(at));
        file << bytes;
    }
    const std::string damaged = read_file(folder.file());
    Open open = open_spool(options_in(folder.path()));
    CHECK(open.spool->stats().files_set_aside == 1);
    CHECK(drain(open).size() == batches);
    const auto stats = open.spool->stats();
    CHECK(stats.damaged == 0);
    CHECK(stats.in == batches);
    CHECK(balanced(stats));
    // What was lent to it was given back.
    CHECK(read_file(folder.path() + "/" + set_aside_files(folder.path()).front()) == damaged);
}

TEST_CASE("what was delivered does not come back from pages that are not used again yet") {
    TemporaryFolder folder;
    constexpr int batches = 300;
    Options options = options_in(folder.path());
    options.live_first = GENERATE(true, false);
    const bool delivered_by_another = GENERATE(true, false);
    std::set<std::string> delivered;
    const auto deliver = [&](Open& open, int count) {
        for (int i = 0; i < count; i++) {
            auto batch = open.reader->next();
            REQUIRE((batch && *batch));
            delivered.emplace((*batch)->messages.front().value);
            open.reader->release((*batch)->id);
        }
        REQUIRE(open.spool->maintain());
    };
    {
        Open open = open_spool(options);
        for (int i = 0; i < batches; i++)
            REQUIRE(open.spool->append(messages(i, 1, 900), {}));
        deliver(open, delivered_by_another ? batches : 200);
    }
    if (delivered_by_another) {
        // Ids of the live lane begin anew.
        Open open = open_spool(options);
        for (int i = 0; i < 100; i++)
            REQUIRE(open.spool->append(messages(batches + i, 1, 200), {}));
    }
    {
        std::fstream file(folder.file(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(8192);
        file << std::string(8192, '\0');
    }
    Open open = open_spool(options);
    CHECK(open.spool->stats().files_set_aside == 1);
    const auto values = drain(open);
    CHECK(values.size() == 100);
    for (const std::string& value : values)
        CHECK(!delivered.contains(value));
    const auto stats = open.spool->stats();
    CHECK(stats.damaged == 0);
    CHECK(stats.in == stats.released);
    CHECK(balanced(stats));
}

TEST_CASE("a first page that was lent when the process was killed is given back") {
    TemporaryFolder folder;
    {
        open_spool(options_in(folder.path()));
    }
    const std::string spool = read_file(folder.file());
    const std::string garbage(100'000, 'x');
    TemporaryFolder other;
    write_file(other.file(), garbage);
    {
        auto lent = FirstPage::lend(other.file(), folder.file());
        REQUIRE(lent);
        CHECK(read_file(other.file()) != garbage);
        fs::copy(other.path(), folder.path() + "/killed", fs::copy_options::recursive);
    }
    CHECK(read_file(other.file()) == garbage);
    CHECK(std::distance(fs::directory_iterator(other.path()), {}) == 1);
    const std::string killed = folder.path() + "/killed/spool.db";
    CHECK(read_file(killed) != garbage);
    FirstPage::put_back(killed);
    CHECK(read_file(killed) == garbage);
    CHECK(!fs::exists(killed + "-page1"));
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
