// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/spool.h"

#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/spool_files.h"

using namespace tcptrail;
using namespace tcptrail::spool;

TEST_CASE("a payload tells back what was put into it") {
    PayloadBuilder builder;
    auto in = messages(0, 10);
    in.push_back({Topic::connections, "", ""});
    in.push_back({Topic::agents, std::string(127, 'k'), std::string(128, 'v')});
    in.push_back({Topic::agents, std::string(3, '\0'), std::string(70000, '\xff')});
    for (const Message& message : in)
        builder.add(message);
    REQUIRE(builder.events() == in.size());
    const std::string payload = builder.take();
    REQUIRE(builder.events() == 0);

    auto out = parse_payload(payload);
    REQUIRE(out.has_value());
    REQUIRE(out->size() == in.size());
    for (size_t i = 0; i < in.size(); i++) {
        CHECK((*out)[i].topic == in[i].topic);
        CHECK((*out)[i].key == in[i].key);
        CHECK((*out)[i].value == in[i].value);
    }
    SECTION("every truncation is found out, but for those between messages") {
        int accepted = 0;
        for (size_t length = 0; length < payload.size(); length++)
            if (parse_payload(std::span(payload).first(length))) accepted++;
        CHECK(accepted == static_cast<int>(in.size()));
    }
    SECTION("a foreign version, a foreign topic and an endless length are found out") {
        std::string other = payload;
        other[0] = 2;
        CHECK_FALSE(parse_payload(other));
        CHECK_FALSE(parse_payload(std::string("\1\7\0\0", 4)));
        CHECK_FALSE(parse_payload(std::string("\1\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 12)));
    }
    SECTION("random bytes do no harm") {
        std::mt19937 random(1);
        for (int i = 0; i < 20000; i++) {
            std::string noise(random() % 40, '\0');
            for (char& byte : noise)
                byte = static_cast<char>(random() % 4 ? random() % 8 : random());
            (void)parse_payload(noise);
        }
    }
}

TEST_CASE("what is appended is read in order, and deleted once it is released") {
    TemporaryFolder folder;
    Open open = open_spool(options_in(folder.path()));
    REQUIRE(open.spool->append(messages(0, 5), {}));
    REQUIRE(open.spool->append(messages(5, 1), {}));
    REQUIRE(open.spool->append({}, {}));

    auto first = open.reader->next();
    REQUIRE((first && *first));
    CHECK(same(contents(**first), messages(0, 5)));
    auto second = open.reader->next();
    REQUIRE((second && *second));
    CHECK(same(contents(**second), messages(5, 1)));
    CHECK((*second)->id == (*first)->id + 1);
    CHECK((*second)->created_unix_nanos > 1'600'000'000'000'000'000u);
    auto none = open.reader->next();
    REQUIRE(none);
    CHECK_FALSE(*none);

    // Released out of order: nothing is deleted before what is older.
    open.reader->release((*second)->id);
    REQUIRE(open.spool->maintain());
    CHECK(open.spool->stats().held == 6);
    open.reader->release((*first)->id);
    open.reader->release((*first)->id);
    CHECK(open.spool->stats().held == 6);
    REQUIRE(open.spool->maintain());
    auto stats = open.spool->stats();
    CHECK(stats.in == 6);
    CHECK(stats.released == 6);
    CHECK(stats.held == 0);
    CHECK(stats.held_bytes == 0);
}

TEST_CASE("appending wakes the reader's thread") {
    TemporaryFolder folder;
    Open open = open_spool(options_in(folder.path()));
    uint64_t count = 0;
    CHECK(read(open.reader->wake_fd(), &count, sizeof(count)) == -1);
    REQUIRE(open.spool->append(messages(0, 1), {}));
    CHECK(read(open.reader->wake_fd(), &count, sizeof(count)) == sizeof(count));
}

TEST_CASE("a large append becomes several batches") {
    TemporaryFolder folder;
    Open open = open_spool(options_in(folder.path()));
    REQUIRE(open.spool->append(messages(0, 30, 100'000), {}));
    std::vector<Message> out;
    int batches = 0;
    while (auto batch = open.reader->next()) {
        if (!*batch) break;
        batches++;
        for (Message& message : contents(**batch))
            out.push_back(std::move(message));
    }
    CHECK(batches == 3);
    CHECK(same(out, messages(0, 30, 100'000)));
}

TEST_CASE("what was not released is read again after a restart") {
    TemporaryFolder folder;
    uint64_t last_id = 0;
    {
        Open open = open_spool(options_in(folder.path()));
        for (int i = 0; i < 4; i++)
            REQUIRE(open.spool->append(messages(i * 10, 10), {}));
        auto batch = open.reader->next();
        REQUIRE((batch && *batch));
        open.reader->release((*batch)->id);
        REQUIRE(open.reader->next());
    }
    {
        Open open = open_spool(options_in(folder.path()));
        CHECK(open.spool->stats().found == 30);
        CHECK(open.spool->stats().held == 30);
        auto batch = open.reader->next();
        REQUIRE((batch && *batch));
        CHECK(same(contents(**batch), messages(10, 10)));
        CHECK(drain(open).size() == 20);
        last_id = (*batch)->id + 2;
        open.reader->release((*batch)->id);
    }
    SECTION("ids do not come back, even when nothing is left") {
        Open open = open_spool(options_in(folder.path()));
        CHECK(open.spool->stats().found == 0);
        REQUIRE(open.spool->append(messages(0, 1), {}));
        auto batch = open.reader->next();
        REQUIRE((batch && *batch));
        CHECK((*batch)->id == last_id + 1);
    }
}

TEST_CASE("there is one reader") {
    TemporaryFolder folder;
    Open open = open_spool(options_in(folder.path()));
    CHECK_FALSE(open.spool->reader());
}

TEST_CASE("eviction takes the oldest that the reader does not hold") {
    TemporaryFolder folder;
    Open open = open_spool(options_in(folder.path(), 10'000));
    REQUIRE(open.spool->append(messages(0, 1, 2000), {}));
    auto held = open.reader->next();
    REQUIRE((held && *held));
    for (int i = 1; i < 10; i++)
        REQUIRE(open.spool->append(messages(i, 1, 2000), {}));
    auto stats = open.spool->stats();
    CHECK(stats.evicted == 6);
    CHECK(stats.held == 4);
    CHECK(stats.held_bytes <= 10'000);
    CHECK(balanced(stats));

    auto next = open.reader->next();
    REQUIRE((next && *next));
    CHECK(same(contents(**next), messages(7, 1, 2000)));
    open.reader->release((*held)->id);
    open.reader->release((*next)->id);
    CHECK(drain(open).size() == 2);
    CHECK(open.spool->stats().released == 4);
    CHECK(balanced(open.spool->stats()));
}

TEST_CASE("the reader holds at most half of the bound") {
    TemporaryFolder folder;
    Open open = open_spool(options_in(folder.path(), 10'000));
    for (int i = 0; i < 4; i++)
        REQUIRE(open.spool->append(messages(i, 1, 2400), {}));
    std::vector<uint64_t> ids;
    for (auto batch = open.reader->next(); batch && *batch; batch = open.reader->next())
        ids.push_back((*batch)->id);
    CHECK(ids.size() == 3);
    open.reader->release(ids[1]);
    auto fourth = open.reader->next();
    REQUIRE((fourth && *fourth));
}

TEST_CASE("a lowered bound is applied at the start") {
    TemporaryFolder folder;
    {
        Open open = open_spool(options_in(folder.path()));
        for (int i = 0; i < 10; i++)
            REQUIRE(open.spool->append(messages(i, 1, 2000), {}));
    }
    Open open = open_spool(options_in(folder.path(), 5000));
    REQUIRE(open.spool->maintain());
    CHECK(open.spool->stats().evicted == 8);
    CHECK(drain(open).size() == 2);
}

TEST_CASE("one agent owns a spool") {
    TemporaryFolder folder;
    Open open = open_spool(options_in(folder.path()));
    auto second = Spool::open(options_in(folder.path()));
    REQUIRE_FALSE(second);
    CHECK(second.error().message == "spool " + folder.path() + " is in use by process " +
                                        std::to_string(getpid()) +
                                        ": one agent owns it at a time; stop that one, or set another "
                                        "spool.directory");
    open = {};
    CHECK(Spool::open(options_in(folder.path())));
}

TEST_CASE("the folder is made, and not for everyone") {
    TemporaryFolder folder;
    const std::string nested = folder.path() + "/a/b";
    Open open = open_spool(options_in(nested));
    CHECK((fs::status(nested).permissions() & fs::perms::others_all) == fs::perms::none);
}

TEST_CASE("a folder that cannot be made is an error that says why") {
    TemporaryFolder folder;
    write_file(folder.path() + "/file", "");
    auto spool = Spool::open(options_in(folder.path() + "/file/spool"));
    REQUIRE_FALSE(spool);
    CHECK_THAT(spool.error().message, Catch::Matchers::ContainsSubstring("Not a directory"));
}

TEST_CASE("when the disk does not take events they wait in memory, and the oldest give way") {
    TemporaryFolder folder;
    Open open = open_spool(options_in(folder.path()));
    REQUIRE(open.spool->append(messages(0, 1), {}));

    // Another writer has the file: an append cannot succeed, and must not wait. For a moment it is no error.
    sqlite3* other = nullptr;
    REQUIRE(sqlite3_open(folder.file().c_str(), &other) == SQLITE_OK);
    REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
    CHECK(open.spool->append(messages(1, 1), {}));
    REQUIRE(becomes_refused(*open.spool));
    CHECK_THAT(open.spool->stats().problem, Catch::Matchers::ContainsSubstring("cannot write to the spool"));
    CHECK(open.spool->stats().memory_bytes > 0);
    CHECK(open.spool->stats().held == 2);

    SECTION("and go to the disk once it takes them") {
        sqlite3_close(other);
        REQUIRE(open.spool->maintain());
        CHECK(open.spool->stats().memory_bytes == 0);
        CHECK(drain(open).size() == 2);
    }
    SECTION("as far as there is room") {
        for (int i = 2; i < 22; i++)
            CHECK_FALSE(open.spool->append(messages(i, 1, 1'000'000), {}));
        auto stats = open.spool->stats();
        CHECK(stats.memory_full == 5);
        CHECK(stats.memory_bytes <= 16u << 20);
        CHECK(balanced(stats));
        sqlite3_close(other);
        CHECK(drain(open).size() == 17);
        CHECK(balanced(open.spool->stats()));
    }
}
