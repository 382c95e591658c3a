// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <functional>
#include <random>
#include <thread>

#include "agent/base/clock.h"
#include "agent/spool/accounts.h"
#include "agent/spool/compression.h"
#include "agent/spool/steady_time.h"
#include "tests/unit/spool_files.h"

using namespace tcptrail;
using namespace tcptrail::spool;

namespace {

// Like events: most of each is the same.
std::vector<Message> similar(int first, int count) {
    std::vector<Message> list;
    for (int i = first; i < first + count; i++)
        list.push_back(
            {Topic::connections, "192.0.2.1 443 192.0.2.9 " + std::to_string(i),
             "value " + std::to_string(i) + " of host 0ed956421162208d91deb81f64558d47, process " +
                 "nginx with cgroup /system.slice/nginx.service, closed by the remote side, state " +
                 "LAST_ACK, congestion control cubic, rtt " + std::to_string(i * 7919 % 1000)});
    return list;
}

bool becomes_true(Spool& spool, const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        (void)spool.maintain();
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
}

std::vector<int> numbers(const std::vector<std::string>& values) {
    std::vector<int> list;
    for (const std::string& value : values)
        list.push_back(std::atoi(value.c_str() + 6));
    return list;
}

}  // namespace

TEST_CASE("a payload is stored compressed where that pays") {
    Compressor compressor(fast_level);
    Decompressor decompressor;
    const auto round_trip = [&](const std::vector<Message>& list) {
        PayloadBuilder builder;
        for (const Message& message : list)
            builder.add(message);
        const std::string plain = builder.take();
        const std::string stored = compressor.pack(plain);
        auto back = decompressor.unpack(stored);
        REQUIRE(back);
        CHECK(std::string(back->begin(), back->end()) == plain);
        return std::pair(plain.size(), stored);
    };
    const auto [large, packed] = round_trip(similar(0, 100));
    CHECK(packed.size() < large / 4);
    CHECK(packed[0] == compressed_payload);
    CHECK(round_trip(similar(0, 1)).second[0] == plain_payload);
    CHECK(round_trip(messages(0, 10, 5000)).second[0] == plain_payload);

    SECTION("every truncation and foreign size is found out") {
        for (size_t length = 1; length < packed.size(); length++)
            CHECK_FALSE(decompressor.unpack(std::span(packed).first(length)));
        CHECK_FALSE(decompressor.unpack(std::string(1, compressed_payload)));
        // A frame that says that it holds 2^63 bytes.
        CHECK_FALSE(decompressor.unpack(
            std::string("\2\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\x7f\1\0\0", 17)));
    }
    SECTION("random bytes do no harm") {
        std::mt19937 random(1);
        for (int i = 0; i < 20000; i++) {
            std::string noise = packed.substr(0, 20 + random() % 60);
            for (int flips = 0; flips < 3; flips++)
                noise[1 + random() % (noise.size() - 1)] = static_cast<char>(random());
            (void)decompressor.unpack(noise);
        }
    }
}

TEST_CASE("small batches that wait become large ones") {
    TemporaryFolder folder;
    Open open = open_spool(options_in(folder.path()));
    constexpr int count = 12'000;
    for (int i = 0; i < count; i += 10)
        REQUIRE(open.spool->append(similar(i, 10), {}));
    auto first = open.reader->next();
    REQUIRE((first && *first));
    const uint64_t before = open.spool->stats().held_bytes;
    CHECK(becomes_true(*open.spool, [&] { return open.spool->stats().held_bytes < before / 2; }));
    CHECK(open.spool->stats().held == count);

    SECTION("and are read as they would have been") {
        const auto values = numbers(drain(open));
        REQUIRE(values.size() == count - 10);
        for (int i = 0; i < count - 10; i++)
            REQUIRE(values[static_cast<size_t>(i)] == i + 10);
        open.reader->release((*first)->id);
        REQUIRE(open.spool->maintain());
        CHECK(open.spool->stats().released == count);
        CHECK(open.spool->stats().held_bytes == 0);
    }
    SECTION("also after a restart, by which the first comes again") {
        open = {};
        open = open_spool(options_in(folder.path()));
        CHECK(open.spool->stats().found == count);
        CHECK(drain(open).size() == count);
    }
    SECTION("of which damage costs that one") {
        sql(folder.file(),
            "UPDATE batch SET payload = zeroblob(bytes) WHERE id = (SELECT id FROM batch "
            "ORDER BY bytes DESC LIMIT 1)");
        const auto values = drain(open);
        const auto stats = open.spool->stats();
        CHECK(stats.files_set_aside == 0);
        CHECK(stats.damaged > 10);
        CHECK(stats.damaged + values.size() + 10 == count);
    }
    CHECK(balanced(open.spool->stats()));
}

TEST_CASE("small batches are left as they are while there is plenty of room") {
    TemporaryFolder folder;
    Options options = options_in(folder.path(), 64u << 20);
    options.loose_bytes = 1u << 20;
    Open open = open_spool(options);
    int written = 0;
    const auto write = [&](int count) {
        for (const int end = written + count; written < end; written += 10)
            REQUIRE(open.spool->append(similar(written, 10), {}));
    };
    const auto rounds = [&] {
        for (int i = 0; i < 150; i++) {
            REQUIRE(open.spool->maintain());
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
    };
    write(12'000);
    const uint64_t before = open.spool->stats().held_bytes;
    REQUIRE(before < 1u << 20);
    rounds();
    CHECK(open.spool->stats().held_bytes == before);
    // Until it is more; then only down to there.
    while (open.spool->stats().held_bytes <= 1u << 20)
        write(1000);
    CHECK(becomes_true(*open.spool, [&] { return open.spool->stats().held_bytes <= 1u << 20; }));
    CHECK(open.spool->stats().held_bytes > 1u << 18);
    CHECK(drain(open).size() == static_cast<size_t>(written));
}

TEST_CASE("merging beside a reader neither loses nor repeats nor reorders") {
    TemporaryFolder folder;
    Open open = open_spool(options_in(folder.path()));
    constexpr int count = 40'000;
    std::vector<int> delivered;
    std::atomic<bool> done = false;
    std::string problem;
    std::thread transmit([&] {
        // Rests, so that merging comes ahead of it, and then catches up with it.
        std::mt19937 random(3);
        for (;;) {
            const bool last = done;
            auto batch = open.reader->next();
            if (!batch) problem = batch.error().message;
            if (!batch || !*batch) {
                if (last && batch) return;
                continue;
            }
            for (const MessageView& message : (*batch)->messages)
                delivered.push_back(std::atoi(message.value.data() + 6));
            open.reader->release((*batch)->id);
            if (!done && random() % 4 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(25));
        }
    });
    for (int i = 0; i < count; i += 10) {
        CHECK(open.spool->append(similar(i, 10), {}));
        std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
    done = true;
    transmit.join();
    CHECK(problem.empty());
    CHECK(open.spool->stats().files_set_aside == 0);
    CHECK(becomes_true(*open.spool, [&] { return open.spool->stats().held == 0; }));
    REQUIRE(delivered.size() == count);
    for (int i = 0; i < count; i++)
        REQUIRE(delivered[static_cast<size_t>(i)] == i);
    CHECK(open.spool->stats().released == count);
    CHECK(balanced(open.spool->stats()));
}

TEST_CASE("what is too old is removed, and counted as expired") {
    TemporaryFolder folder;
    Options options = options_in(folder.path());
    {
        Open open = open_spool(options);
        for (int i = 0; i < 5; i++)
            REQUIRE(open.spool->append(messages(i * 10, 10), {}));
    }
    {
        // Three of them are made two hours old.
        auto store = open_store(folder.file());
        REQUIRE(store);
        auto select = store->prepare("SELECT * FROM batch WHERE id <= 3");
        auto update = store->prepare("REPLACE INTO batch VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
        REQUIRE((select && update));
        std::vector<std::pair<RowHead, std::string>> rows;
        {
            Query query(*select);
            while (*query.step()) {
                const Row row = read_row(query);
                rows.emplace_back(row.head, std::string(row.payload.begin(), row.payload.end()));
            }
        }
        for (auto& [head, payload] : rows) {
            head.created_unix_nanos -= 7'200'000'000'000;
            REQUIRE(insert_row(*update, head, payload));
        }
    }
    SECTION("if there is a bound") {
        options.max_age_hours = 1;
        Open open = open_spool(options);
        auto first = open.reader->next();
        REQUIRE((first && *first));
        REQUIRE(open.spool->maintain());
        auto stats = open.spool->stats();
        // The first is the reader's: Kafka may have it.
        CHECK(stats.expired == 20);
        CHECK(stats.held == 30);
        open.reader->release((*first)->id);
        CHECK(numbers(drain(open)).front() == 30);
        stats = open.spool->stats();
        CHECK(stats.released == 30);
        CHECK(stats.held_bytes == 0);
        CHECK(balanced(stats));
    }
    SECTION("and only then") {
        Open open = open_spool(options);
        REQUIRE(open.spool->maintain());
        CHECK(open.spool->stats().expired == 0);
        CHECK(drain(open).size() == 50);
    }
}

TEST_CASE("no step of the wall clock makes what is held old") {
    constexpr uint64_t hour = 3'600'000'000'000, today = 20'000 * 24 * hour;
    SteadyTime time(today, 5 * hour);
    CHECK(time.at(5 * hour) == today);
    CHECK(time.at(7 * hour) == today + 2 * hour);
    time.begin_at(today - hour, 5 * hour);
    CHECK(time.at(7 * hour) == today + 2 * hour);
    time.begin_at(today + 9 * hour, 5 * hour);
    CHECK(time.at(5 * hour) == today + 9 * hour);
    // The next process of the same boot, when the clock has been set.
    SteadyTime next(today + 1000 * hour, 6 * hour);
    next.continue_from(time.unix_nanos_at_boot());
    CHECK(next.at(6 * hour) == today + 10 * hour);
}

TEST_CASE("a spool goes on with the time of the one before it") {
    TemporaryFolder folder;
    Options options = options_in(folder.path());
    options.max_age_hours = 1;
    constexpr uint64_t day = 24 * 3'600'000'000'000;
    {
        open_spool(options);
    }
    // It ran with a clock that was a hundred days behind.
    auto accounts = read_accounts(folder.file());
    REQUIRE(accounts);
    accounts->unix_nanos_at_boot -= 100 * day;
    REQUIRE(write_accounts(folder.file(), *accounts));
    {
        Open open = open_spool(options);
        REQUIRE(open.spool->append(messages(0, 10), {}));
    }
    Open open = open_spool(options);
    REQUIRE(open.spool->maintain());
    CHECK(open.spool->stats().expired == 0);
    auto batch = open.reader->next();
    REQUIRE((batch && *batch));
    CHECK((*batch)->created_unix_nanos < unix_nanos() - 99 * day);
    open.reader->release((*batch)->id);
    // After another boot it is what the clock says.
    accounts = read_accounts(folder.file());
    open = {};
    accounts = read_accounts(folder.file());
    REQUIRE(accounts);
    accounts->boot ^= 1;
    REQUIRE(write_accounts(folder.file(), *accounts));
    open = open_spool(options);
    REQUIRE(open.spool->append(messages(10, 10), {}));
    batch = open.reader->next();
    REQUIRE((batch && *batch));
    CHECK((*batch)->created_unix_nanos > unix_nanos() - day);
}

TEST_CASE("what a machine without a clock has appended does not expire as soon as it has one") {
    TemporaryFolder folder;
    Options options = options_in(folder.path());
    {
        open_spool(options);
    }
    auto accounts = read_accounts(folder.file());
    REQUIRE(accounts);
    accounts->unix_nanos_at_boot = 0;
    REQUIRE(write_accounts(folder.file(), *accounts));
    {
        Open open = open_spool(options);
        REQUIRE(open.spool->append(messages(0, 10), {}));
    }
    accounts = read_accounts(folder.file());
    REQUIRE(accounts);
    accounts->boot ^= 1;
    REQUIRE(write_accounts(folder.file(), *accounts));
    options.max_age_hours = 1;
    Open open = open_spool(options);
    REQUIRE(open.spool->maintain());
    CHECK(open.spool->stats().expired == 0);
    CHECK(drain(open).size() == 10);
}

TEST_CASE("what is appended after the clock was set back is newer all the same") {
    TemporaryFolder folder;
    Options options = options_in(folder.path());
    constexpr uint64_t year = 365ull * 24 * 3'600'000'000'000;
    uint64_t created = 0;
    {
        Open open = open_spool(options);
        REQUIRE(open.spool->append(messages(0, 10), {}));
    }
    {
        auto store = open_store(folder.file());
        REQUIRE(store);
        auto select = store->prepare("SELECT * FROM batch");
        auto update = store->prepare("REPLACE INTO batch VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
        REQUIRE((select && update));
        RowHead head;
        std::string payload;
        {
            Query query(*select);
            REQUIRE(*query.step());
            const Row row = read_row(query);
            head = row.head;
            payload.assign(row.payload.begin(), row.payload.end());
        }
        created = head.created_unix_nanos += year;
        REQUIRE(insert_row(*update, head, payload));
    }
    options.max_age_hours = 1;
    Open open = open_spool(options);
    REQUIRE(open.spool->append(messages(10, 10), {}));
    std::vector<uint64_t> times;
    for (int i = 0; i < 2; i++) {
        auto batch = open.reader->next();
        REQUIRE((batch && *batch));
        times.push_back((*batch)->created_unix_nanos);
    }
    CHECK(times.front() == created);
    CHECK(times.back() >= created);
    CHECK(open.spool->stats().expired == 0);
}

TEST_CASE("with sync: full a mark is told as committed once it is durable") {
    TemporaryFolder folder;
    Options options = options_in(folder.path());
    options.sync = Sync::full;
    {
        Open open = open_spool(options);
        for (int i = 0; i < 300; i++)
            REQUIRE(open.spool->append(messages(i, 1), "mark " + std::to_string(i)));
        CHECK(becomes_true(*open.spool, [&] {
            return open.spool->settled() && open.spool->committed_mark() == "mark 299";
        }));
    }
    CHECK(open_spool(options).spool->committed_mark() == "mark 299");
}
