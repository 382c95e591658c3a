// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/spool.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "tests/unit/service_manager.h"
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

namespace {

// What the spool should hold, told in the simplest way.
class Model {
public:
    explicit Model(uint64_t max_bytes) : max_bytes_(max_bytes) {}

    void append(const std::vector<Message>& list) {
        PayloadBuilder builder;
        for (const Message& message : list)
            builder.add(message);
        const uint64_t bytes = Compressor(fast_level).pack(builder.take()).size();
        in += list.size();
        transaction();
        stored_.push_back({list, bytes});
        evict();
    }
    void transaction() {
        while (!stored_.empty() && stored_.front().released) {
            (stored_.front().damaged ? damaged : released) += stored_.front().messages.size();
            stored_.pop_front();
        }
        for (auto batch = stored_.begin(); batch != stored_.end();)
            if (batch->damaged && batch->taken) {
                damaged += batch->messages.size();
                batch = stored_.erase(batch);
            } else {
                ++batch;
            }
        evict();
    }
    // The index of the batch that comes next, damaged ones passed over; -1: none.
    int take() {
        for (;;) {
            uint64_t held = 0;
            for (const Stored& batch : stored_)
                if (batch.taken && !batch.released) held += batch.bytes;
            if (held > 0 && held >= max_bytes_ / 2) return -1;
            auto next =
                std::find_if(stored_.begin(), stored_.end(), [](const Stored& b) { return !b.taken; });
            if (next == stored_.end()) return -1;
            next->taken = true;
            next->released = next->damaged;
            if (!next->damaged) return static_cast<int>(next - stored_.begin());
        }
    }
    void restart() {
        transaction();
        crash();
    }
    void crash() {
        for (Stored& batch : stored_)
            batch.taken = batch.released = false;
        found = held();
    }
    uint64_t held() const {
        uint64_t events = 0;
        for (const Stored& batch : stored_)
            events += batch.messages.size();
        return events;
    }
    uint64_t bytes() const {
        uint64_t sum = 0;
        for (const Stored& batch : stored_)
            sum += batch.bytes;
        return sum;
    }

    struct Stored {
        std::vector<Message> messages;
        uint64_t bytes = 0;
        bool taken = false;
        bool released = false;
        bool damaged = false;
        uint64_t id = 0;  // known once it was taken
    };
    std::deque<Stored> stored_;
    uint64_t found = 0, in = 0, released = 0, evicted = 0, damaged = 0;

private:
    void evict() {
        uint64_t sum = bytes();
        for (auto batch = stored_.begin(); batch != stored_.end() && sum > max_bytes_;) {
            if (batch->taken) {
                ++batch;
                continue;
            }
            sum -= batch->bytes;
            evicted += batch->messages.size();
            batch = stored_.erase(batch);
        }
    }
    uint64_t max_bytes_;
};

void run_model(uint32_t seed, int steps) {
    INFO("seed " << seed);
    std::mt19937 random(seed);
    auto below = [&random](uint32_t n) { return static_cast<int>(random() % n); };
    const uint64_t max_bytes = 4000 + random() % 60'000;
    Model model(max_bytes);
    auto folder = std::make_unique<TemporaryFolder>();
    Open open = open_spool(options_in(folder->path(), max_bytes));
    int number = 0;
    for (int step = 0; step < steps; step++) {
        const int what = below(100);
        INFO("step " << step << " action " << what);
        if (what < 40) {
            auto list =
                messages(number, 1 + below(8), static_cast<size_t>(below(10) ? below(300) : below(5000)));
            number += static_cast<int>(list.size());
            model.append(list);
            REQUIRE(open.spool->append(list, {}));
        } else if (what < 65) {
            const int expected = model.take();
            auto batch = open.reader->next();
            REQUIRE(batch);
            REQUIRE(batch->has_value() == (expected >= 0));
            if (expected >= 0) {
                auto& stored = model.stored_[static_cast<size_t>(expected)];
                REQUIRE(same(contents(**batch), stored.messages));
                stored.id = (*batch)->id;
            }
        } else if (what < 90) {
            std::vector<Model::Stored*> candidates;
            for (Model::Stored& batch : model.stored_)
                if (batch.taken && !batch.released) candidates.push_back(&batch);
            if (candidates.empty()) continue;
            Model::Stored* batch = candidates[random() % candidates.size()];
            batch->released = true;
            open.reader->release(batch->id);
        } else if (what < 95) {
            model.transaction();
            REQUIRE(open.spool->maintain());
        } else if (what < 97) {
            // Damage to the oldest batch that is still to be read.
            auto victim = std::find_if(model.stored_.begin(), model.stored_.end(),
                                       [](const Model::Stored& b) { return !b.taken && !b.damaged; });
            if (victim == model.stored_.end()) continue;
            victim->damaged = true;
            const auto place = victim - model.stored_.begin();
            sql(folder->file(),
                "UPDATE batch SET payload = zeroblob(bytes) WHERE id = (SELECT id FROM batch ORDER BY id "
                "LIMIT 1 OFFSET " +
                    std::to_string(place) + ")");
        } else if (what < 99) {
            open = {};
            model.restart();
            open = open_spool(options_in(folder->path(), max_bytes));
        } else {
            // SIGKILL: the files as they are at this moment.
            auto copy = std::make_unique<TemporaryFolder>();
            for (const char* suffix : {"", "-wal"})
                if (fs::exists(folder->file() + suffix))
                    fs::copy_file(folder->file() + suffix, copy->file() + suffix);
            open = {};
            folder = std::move(copy);
            model.crash();
            open = open_spool(options_in(folder->path(), max_bytes));
        }
        const auto stats = open.spool->stats();
        REQUIRE(stats.found == model.found);
        REQUIRE(stats.in == model.in);
        REQUIRE(stats.released == model.released);
        REQUIRE(stats.evicted == model.evicted);
        REQUIRE(stats.damaged == model.damaged);
        REQUIRE(stats.held == model.held());
        REQUIRE(stats.held_bytes == model.bytes());
        REQUIRE(balanced(stats));
        REQUIRE(stats.files_set_aside == 0);
    }
}

}  // namespace

TEST_CASE("the spool does what the model does") {
    // One seed that every run tries, and one of its own; TCPTRAIL_SEED repeats a run.
    const char* wanted = std::getenv("TCPTRAIL_SEED");
    const uint32_t seed =
        wanted ? static_cast<uint32_t>(std::strtoul(wanted, nullptr, 0)) : std::random_device()();
    std::cout << "model test: seed " << seed << std::endl;
    if (!wanted) run_model(1, 600);
    for (uint32_t i = 0; i < 4; i++)
        run_model(seed + i, 600);
}

TEST_CASE("two threads: each event is delivered or counted as evicted, never both") {
    TemporaryFolder folder;
    const uint64_t max_bytes = 60'000;
    Open open = open_spool(options_in(folder.path(), max_bytes));
    std::atomic<bool> done = false;
    std::vector<uint64_t> delivered;
    int last = -1;
    bool ordered = true;
    std::thread transmit([&] {
        std::mt19937 random(7);
        std::vector<uint64_t> taken;
        for (;;) {
            const bool finish = done;
            auto batch = open.reader->next();
            if (batch && *batch) {
                for (const MessageView& message : (*batch)->messages) {
                    const int number = std::atoi(message.value.data() + 6);
                    ordered = ordered && number > last;
                    last = number;
                    delivered.push_back(static_cast<uint64_t>(number));
                }
                taken.push_back((*batch)->id);
            }
            if (!taken.empty() && (random() % 3 == 0 || !(batch && *batch))) {
                const size_t which = random() % taken.size();
                open.reader->release(taken[which]);
                taken.erase(taken.begin() + static_cast<ptrdiff_t>(which));
            } else if (finish && taken.empty()) {
                return;
            }
            if (random() % 50 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
    });
    for (int i = 0; i < 3000; i++)
        if (auto appended = open.spool->append(messages(i * 5, 5, 400), {}); !appended)
            FAIL(appended.error().message);
    done = true;
    transmit.join();
    // The checkpointer may have its turn.
    for (int i = 0; open.spool->stats().held > 0 && i < 1000; i++) {
        REQUIRE(open.spool->maintain());
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    const auto stats = open.spool->stats();
    CHECK(ordered);
    CHECK(stats.in == 15'000);
    CHECK(stats.held == 0);
    CHECK(stats.evicted > 0);
    CHECK(stats.released == delivered.size());
    CHECK(stats.released + stats.evicted == stats.in);
}

TEST_CASE("a large log is copied and begun anew while both sides work") {
    TemporaryFolder folder;
    Open open = open_spool(options_in(folder.path(), 4u << 20));
    // The log's header has two numbers that change each time it begins anew.
    auto salt = [&folder] { return read_file(folder.file() + "-wal", 24).substr(16); };
    REQUIRE(open.spool->append(messages(0, 1), {}));
    const std::string first = salt();
    size_t delivered = 0;
    int restarts = 0;
    std::string last = first;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    for (int i = 0; restarts < 2 && std::chrono::steady_clock::now() < end; i++) {
        REQUIRE(open.spool->append(messages(i * 100, 100, 1000), {}));
        while (auto batch = open.reader->next()) {
            if (!*batch) break;
            delivered += (*batch)->messages.size();
            open.reader->release((*batch)->id);
        }
        if (i % 50 == 0 && salt() != last) {
            last = salt();
            restarts++;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    CHECK(restarts == 2);
    // What had to wait for its turn is written now.
    for (int i = 0; open.spool->stats().memory_bytes > 0 && i < 1000; i++) {
        REQUIRE(open.spool->maintain());
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    delivered += drain(open).size();
    const auto stats = open.spool->stats();
    CHECK(stats.held == 0);
    CHECK(stats.released == delivered);
    CHECK(balanced(stats));
}
