// SPDX-License-Identifier: Apache-2.0
//
// The live lane and the backlog: spool/README.md, "Two lanes".
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include "agent/base/clock.h"
#include "agent/spool/stall.h"
#include "tests/catch.h"
#include "tests/unit/spool_files.h"

namespace tcptrail::spool {
namespace {

constexpr uint64_t wait_ms = 50;

Options two_lanes(const std::string& folder, uint64_t max_bytes = 1u << 30) {
    Options options = options_in(folder, max_bytes);
    options.live_first = true;
    options.longest_live_wait_ms = wait_ms;
    return options;
}

void wait_too_long() {
    std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms + 20));
}

// Of a connection that the stream has an earlier event of.
std::vector<Message> told_before(int first, uint64_t since_ns) {
    auto list = messages(first, 1);
    list[0].earlier_ns = since_ns;
    return list;
}

std::vector<std::string> values(const std::vector<int>& numbers) {
    std::vector<std::string> list;
    for (int number : numbers)
        list.push_back(messages(number, 1)[0].value);
    return list;
}

// Nothing is read for so long that what is appended now is backlog: 0 is live, 1 to `count` are not.
void make_backlog(Open& open, int count) {
    REQUIRE(open.spool->append(messages(0, 1), {}));
    wait_too_long();
    for (int i = 1; i <= count; i++)
        REQUIRE(open.spool->append(messages(i, 1), {}));
}

uint64_t take(Open& open, Lane lane, int number) {
    auto batch = open.reader->next(lane);
    REQUIRE((batch && *batch));
    CHECK((*batch)->lane == lane);
    CHECK(same(contents(**batch), messages(number, 1)));
    return (*batch)->id;
}

}  // namespace

TEST_CASE("without a backlog all is live", "[spool]") {
    TemporaryFolder folder;
    Open open = open_spool(two_lanes(folder.path()));
    REQUIRE(open.spool->append(messages(0, 2), {}));
    REQUIRE(open.spool->append(told_before(2, 1), {}));
    auto backlog = open.reader->next(Lane::backlog);
    REQUIRE(backlog);
    CHECK_FALSE(*backlog);
    CHECK(drain(open).size() == 3);
    CHECK(balanced(open.spool->stats()));
}

TEST_CASE("after an outage what is live comes first, and the backlog behind it", "[spool]") {
    TemporaryFolder folder;
    Open open = open_spool(two_lanes(folder.path()));
    make_backlog(open, 3);
    // The outage is over: what waited in the live lane is taken.
    open.reader->release(take(open, Lane::live, 0));
    REQUIRE(open.spool->append(messages(4, 1), {}));
    CHECK(drain(open) == values({4, 1, 2, 3}));
    // And now there is no backlog.
    REQUIRE(open.spool->append(told_before(5, 1), {}));
    open.reader->release(take(open, Lane::live, 5));
    REQUIRE(open.spool->maintain());
    CHECK(open.spool->stats().held == 0);
    CHECK(balanced(open.spool->stats()));
}

TEST_CASE("what was told of before the lane flowed goes behind the backlog, what began since does not",
          "[spool]") {
    TemporaryFolder folder;
    Open open = open_spool(two_lanes(folder.path()));
    const uint64_t before = boot_nanos();
    make_backlog(open, 2);
    open.reader->release(take(open, Lane::live, 0));
    REQUIRE(open.spool->maintain());
    REQUIRE(open.spool->append(told_before(3, before), {}));
    REQUIRE(open.spool->append(told_before(4, boot_nanos()), {}));
    // One append with both.
    auto both = told_before(5, 1);
    both.push_back(messages(6, 1)[0]);
    REQUIRE(open.spool->append(both, {}));
    CHECK(drain(open) == values({4, 6, 1, 2, 3, 5}));
    CHECK(balanced(open.spool->stats()));
}

TEST_CASE("what the reader has of the backlog keeps what follows behind it", "[spool]") {
    TemporaryFolder folder;
    std::optional<uint64_t> taken;
    {
        Open open = open_spool(two_lanes(folder.path()));
        make_backlog(open, 1);
        open.reader->release(take(open, Lane::live, 0));
        taken = take(open, Lane::backlog, 1);
        REQUIRE(open.spool->append(told_before(2, 1), {}));
        SECTION("until it is released") {
            open.reader->release(*taken);
            REQUIRE(open.spool->append(told_before(3, 1), {}));
            CHECK(drain(open) == values({2, 3}));
            return;
        }
        SECTION("also when it comes again, after a crash") {}
    }
    Open open = open_spool(two_lanes(folder.path()));
    CHECK(drain(open) == values({1, 2}));
}

TEST_CASE("both lanes are there after a restart, the live one first", "[spool]") {
    TemporaryFolder folder;
    {
        Open open = open_spool(two_lanes(folder.path()));
        make_backlog(open, 3);
    }
    Open open = open_spool(two_lanes(folder.path()));
    CHECK(open.spool->stats().found == 4);
    // It flows, until it is seen that it does not.
    REQUIRE(open.spool->append(messages(4, 1), {}));
    wait_too_long();
    REQUIRE(open.spool->append(messages(5, 1), {}));
    CHECK(drain(open) == values({0, 4, 1, 2, 3, 5}));
    CHECK(balanced(open.spool->stats()));
}

TEST_CASE("a lane that was emptied before the restart has nothing", "[spool]") {
    TemporaryFolder folder;
    {
        Open open = open_spool(two_lanes(folder.path()));
        make_backlog(open, 3);
        CHECK(drain(open).size() == 4);
    }
    Open open = open_spool(two_lanes(folder.path()));
    REQUIRE(open.spool->append(messages(4, 1), {}));
    auto backlog = open.reader->next(Lane::backlog);
    REQUIRE(backlog);
    CHECK_FALSE(*backlog);
    CHECK(drain(open) == values({4}));
    make_backlog(open, 1);
    CHECK(drain(open) == values({0, 1}));
    CHECK(open.spool->stats().files_set_aside == 0);
    CHECK(balanced(open.spool->stats()));
}

TEST_CASE("of both lanes the oldest is evicted, and what is damaged counted", "[spool]") {
    TemporaryFolder folder;
    Open open = open_spool(two_lanes(folder.path(), 10'000));
    REQUIRE(open.spool->append(messages(0, 1, 3000), {}));
    wait_too_long();
    for (int i = 1; i < 3; i++)
        REQUIRE(open.spool->append(messages(i, 1, 3000), {}));
    SECTION("evicted") {
        REQUIRE(open.spool->append(messages(3, 1, 3000), {}));
        auto live = open.reader->next(Lane::live);
        REQUIRE(live);
        CHECK_FALSE(*live);
        CHECK(open.spool->stats().evicted == 1);
        CHECK(drain(open).size() == 3);
    }
    SECTION("damaged") {
        sql(folder.file(), "UPDATE batch SET payload = zeroblob(bytes)");
        CHECK(drain(open).empty());
        CHECK(open.spool->stats().damaged == 3);
    }
    SECTION("rows that are gone") {
        sql(folder.file(), "DELETE FROM batch WHERE id > 1");
        CHECK(drain(open).size() == 1);
        CHECK(open.spool->stats().damaged == 2);
    }
    CHECK(open.spool->stats().held == 0);
    CHECK(balanced(open.spool->stats()));
}

TEST_CASE("what is salvaged keeps its lane", "[spool]") {
    TemporaryFolder folder;
    {
        Open open = open_spool(two_lanes(folder.path()));
        make_backlog(open, 20);
    }
    sql(folder.file(), "UPDATE total SET events = 1");
    Open open = open_spool(two_lanes(folder.path()));
    CHECK(open.spool->stats().files_set_aside == 1);
    CHECK(open.spool->stats().held == 21);
    take(open, Lane::live, 0);
    take(open, Lane::backlog, 1);
}

namespace {

// Connections that are told of one to four times, an agent that is killed now and then, a reader that
// sometimes is slow: what holds whatever happens.
class Story {
public:
    explicit Story(uint32_t seed) : random_(seed) {}

    void run(int steps) {
        open();
        for (int step = 0; step < steps; step++) {
            switch (below(12)) {
                case 0:
                case 1:
                case 2:
                case 3:
                    append();
                    break;
                case 4:
                case 5:
                case 6:
                    take();
                    break;
                case 7:
                case 8:
                    release();
                    break;
                case 9:
                    REQUIRE(open_.spool->maintain());
                    break;
                case 10:
                    if (below(4) == 0) wait_too_long();
                    break;
                default:
                    if (below(8) == 0) crash();
            }
            REQUIRE(balanced(open_.spool->stats()));
        }
        while (take()) {
        }
        for (const auto& [connection, last] : told_)
            CHECK(delivered_[connection] == last);
        while (!taken_.empty())
            release();
        REQUIRE(open_.spool->maintain());
        CHECK(open_.spool->stats().held == 0);
        CHECK(open_.spool->stats().in == open_.spool->stats().released);
    }

private:
    int below(uint32_t n) { return static_cast<int>(random_() % n); }

    void open() { open_ = open_spool(two_lanes(folder_->path())); }

    void append() {
        std::vector<Message> list;
        for (int i = below(5); i >= 0; i--) {
            Message message;
            int connection = below(40);
            if (begun_.size() < 400 && below(2) == 0) {
                connection = static_cast<int>(begun_.size());
                begun_.push_back(boot_nanos());
            } else if (begun_.empty()) {
                continue;
            } else {
                connection = static_cast<int>(random_() % begun_.size());
            }
            message.earlier_ns = told_[connection] > 0 ? begun_[static_cast<size_t>(connection)] : 0;
            message.key = std::to_string(connection);
            message.value = std::to_string(++told_[connection]);
            list.push_back(std::move(message));
        }
        REQUIRE(open_.spool->append(list, {}));
    }

    bool take() {
        auto batch = open_.reader->next();
        REQUIRE(batch);
        if (!*batch) return false;
        for (const MessageView& message : (*batch)->messages) {
            const int connection = std::stoi(std::string(message.key));
            const int number = std::stoi(std::string(message.value));
            // The next one, or one that comes again.
            INFO("connection " << connection << ": " << number << " after " << delivered_[connection]);
            REQUIRE(number <= delivered_[connection] + 1);
            delivered_[connection] = std::max(delivered_[connection], number);
        }
        taken_.push_back((*batch)->id);
        return true;
    }

    void release() {
        if (taken_.empty()) return;
        const auto which = taken_.begin() + static_cast<ptrdiff_t>(random_() % taken_.size());
        open_.reader->release(*which);
        taken_.erase(which);
    }

    // The files as they are at this moment. What was taken and not released was not delivered either.
    void crash() {
        auto copy = std::make_unique<TemporaryFolder>();
        for (const char* suffix : {"", "-wal"})
            if (fs::exists(folder_->file() + suffix))
                fs::copy_file(folder_->file() + suffix, copy->file() + suffix);
        open_ = {};
        folder_ = std::move(copy);
        taken_.clear();
        open();
    }

    std::mt19937 random_;
    std::unique_ptr<TemporaryFolder> folder_ = std::make_unique<TemporaryFolder>();
    Open open_;
    std::vector<uint64_t> begun_;
    std::map<int, int> told_, delivered_;
    std::vector<uint64_t> taken_;
};

}  // namespace

TEST_CASE("whatever happens, each connection's events come in their order and none is missing", "[spool]") {
    const char* wanted = std::getenv("TCPTRAIL_SEED");
    const uint32_t seed =
        wanted ? static_cast<uint32_t>(std::strtoul(wanted, nullptr, 0)) : std::random_device()();
    std::cout << "lanes test: seed " << seed << std::endl;
    for (uint32_t i = 0; i < 4; i++) {
        INFO("seed " << seed + i);
        Story(seed + i).run(600);
    }
}

TEST_CASE("stall: what waits for too long makes the rest backlog, until all is taken", "[spool]") {
    constexpr uint64_t ms = 1'000'000;
    Stall stall(500 * ms);
    const uint64_t began = stall.flows_since();
    stall.look(0, 0, 1000 * ms);
    CHECK_FALSE(stall.stalled());
    stall.committed(10, 1000 * ms);
    stall.committed(11, 1400 * ms);
    stall.look(9, 0, 1500 * ms);
    CHECK_FALSE(stall.stalled());
    SECTION("the first is taken in time") {
        stall.look(10, 0, 1800 * ms);
        CHECK_FALSE(stall.stalled());
        stall.look(10, 0, 1901 * ms);
        CHECK(stall.stalled());
    }
    SECTION("nothing is") {
        stall.look(9, 0, 1501 * ms);
        CHECK(stall.stalled());
        stall.look(10, 0, 1502 * ms);
        CHECK(stall.stalled());
        CHECK(stall.flows_since() == began);
        stall.look(11, 0, 1503 * ms);
        CHECK_FALSE(stall.stalled());
        CHECK(stall.flows_since() > began);
    }
    SECTION("what waits in memory counts, too") {
        stall.look(11, 1400 * ms, 1500 * ms);
        CHECK_FALSE(stall.stalled());
        stall.look(11, 1400 * ms, 1901 * ms);
        CHECK(stall.stalled());
    }
    SECTION("a file that was found") {
        stall.begin_file(20, 2000 * ms);
        stall.look(11, 0, 2400 * ms);
        CHECK_FALSE(stall.stalled());
        stall.look(11, 0, 2501 * ms);
        CHECK(stall.stalled());
        stall.begin_file(0, 2502 * ms);
        stall.look(11, 0, 2503 * ms);
        CHECK_FALSE(stall.stalled());
    }
}

}  // namespace tcptrail::spool
