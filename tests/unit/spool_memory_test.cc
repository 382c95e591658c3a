// SPDX-License-Identifier: Apache-2.0
//
// Disks that fail.
#include <sys/resource.h>

#include <csignal>
#include <functional>
#include <thread>

#include "tests/unit/spool_files.h"

using namespace tcptrail;
using namespace tcptrail::spool;
using Catch::Matchers::ContainsSubstring;

namespace {

// As long as it lives no file of this process grows beyond `bytes`: a full disk.
class FullDisk {
public:
    explicit FullDisk(uint64_t bytes) {
        before_signal_ = std::signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit limit{bytes, before_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FullDisk() {
        setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, before_signal_);
    }
    FullDisk(const FullDisk&) = delete;
    FullDisk& operator=(const FullDisk&) = delete;

private:
    rlimit before_{};
    void (*before_signal_)(int) = nullptr;
};

// The disk is tried again at growing intervals.
bool becomes_true(Spool& spool, const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        (void)spool.maintain();
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
}

// The numbers of the messages of the next batch; empty: there is none.
std::vector<int> next_numbers(SpoolReader& reader, std::vector<uint64_t>* ids = nullptr) {
    std::vector<int> list;
    auto batch = reader.next();
    if (!batch || !*batch) return list;
    for (const MessageView& message : (*batch)->messages)
        list.push_back(std::atoi(message.value.data() + 6));
    if (ids)
        ids->push_back((*batch)->id);
    else
        reader.release((*batch)->id);
    return list;
}

}  // namespace

TEST_CASE("while the disk is full events are delivered from memory, and then stored again") {
    TemporaryFolder folder;
    Open open = open_spool(options_in(folder.path()));
    for (int i = 0; i < 3; i++)
        REQUIRE(open.spool->append(messages(i, 1, 3000), {}));
    CHECK(open.spool->stats().problem.empty());
    {
        const FullDisk full(fs::file_size(folder.file() + "-wal"));
        auto refused = open.spool->append(messages(3, 1, 3000), "during");
        REQUIRE_FALSE(refused);
        CHECK_THAT(open.spool->stats().problem, ContainsSubstring("cannot write to the spool"));
        // It is not tried again at once; this is no error: it has been told.
        CHECK(open.spool->append(messages(4, 1, 3000), {}));
        CHECK(open.spool->append(messages(5, 1, 3000), {}));
        CHECK_FALSE(open.spool->settled());
        CHECK(open.spool->committed_mark().empty());
        // What the file has comes first.
        for (int i = 0; i < 5; i++)
            REQUIRE(next_numbers(*open.reader) == std::vector<int>{i});
        (void)open.spool->maintain();
        const auto stats = open.spool->stats();
        CHECK(stats.in == 6);
        CHECK(balanced(stats));
        CHECK(stats.memory_bytes < 3500);
    }
    CHECK(becomes_true(*open.spool, [&] { return open.spool->settled(); }));
    CHECK(open.spool->stats().problem.empty());
    CHECK(open.spool->committed_mark() == "during");
    CHECK(next_numbers(*open.reader) == std::vector<int>{5});
    CHECK(next_numbers(*open.reader).empty());
    REQUIRE(open.spool->maintain());
    auto stats = open.spool->stats();
    CHECK(stats.released == 6);
    CHECK(stats.held == 0);
    CHECK(stats.held_bytes == 0);
    CHECK(stats.files_set_aside == 0);
    CHECK(balanced(stats));
    open = {};
    stats = open_spool(options_in(folder.path())).spool->stats();
    CHECK(stats.in == 6);
    CHECK(stats.released == 6);
}

TEST_CASE("memory is bounded, and what the reader holds is not dropped from it") {
    TemporaryFolder folder;
    Options options = options_in(folder.path());
    options.memory_bytes = 100'000;
    Open open = open_spool(options);
    REQUIRE(open.spool->append(messages(0, 1), {}));
    REQUIRE(next_numbers(*open.reader) == std::vector<int>{0});
    {
        const FullDisk full(fs::file_size(folder.file() + "-wal"));
        std::vector<uint64_t> ids;
        CHECK_FALSE(open.spool->append(messages(1, 1, 10'000), {}));
        CHECK(next_numbers(*open.reader, &ids) == std::vector<int>{1});
        for (int i = 2; i < 30; i++)
            (void)open.spool->append(messages(i, 1, 10'000), {});
        auto stats = open.spool->stats();
        CHECK(stats.memory_bytes <= 100'000);
        CHECK(stats.memory_full == 20);
        CHECK(stats.held == 10);
        CHECK(balanced(stats));
        // The oldest that is left.
        CHECK(next_numbers(*open.reader, &ids) == std::vector<int>{22});
        open.reader->release(ids[0]);
        open.reader->give_back();
    }
    CHECK(becomes_true(*open.spool, [&] { return open.spool->settled(); }));
    std::vector<int> rest;
    for (auto some = next_numbers(*open.reader); !some.empty(); some = next_numbers(*open.reader))
        rest.insert(rest.end(), some.begin(), some.end());
    CHECK(rest == std::vector<int>{22, 23, 24, 25, 26, 27, 28, 29});
    REQUIRE(open.spool->maintain());
    CHECK(open.spool->stats().released == 10);
    CHECK(open.spool->stats().held == 0);
    CHECK(balanced(open.spool->stats()));
}

TEST_CASE("a folder that cannot be made is no reason not to start") {
    Open open = open_spool(options_in("/proc/tcptrail/spool"));
    CHECK_THAT(open.spool->stats().problem, ContainsSubstring("cannot make the spool's directory"));
    (void)open.spool->append(messages(0, 3), "a mark");
    CHECK(open.spool->committed_mark().empty());
    CHECK(next_numbers(*open.reader) == std::vector<int>{0, 1, 2});
    (void)open.spool->maintain();
    CHECK(open.spool->stats().released == 3);
    CHECK(open.spool->stats().held == 0);
    CHECK(balanced(open.spool->stats()));
}

TEST_CASE("a disk that is full at the start gives what it holds once there is room") {
    TemporaryFolder folder;
    {
        Open open = open_spool(options_in(folder.path()));
        for (int i = 0; i < 3; i++)
            REQUIRE(open.spool->append(messages(i, 1), "old"));
    }
    Open open;
    std::vector<uint64_t> ids;
    {
        const FullDisk full(0);
        open = open_spool(options_in(folder.path()));
        CHECK_THAT(open.spool->stats().problem, ContainsSubstring("cannot open the spool"));
        for (int i = 3; i < 6; i++)
            (void)open.spool->append(messages(i, 1), "new");
        CHECK(next_numbers(*open.reader) == std::vector<int>{3});
        CHECK(next_numbers(*open.reader, &ids) == std::vector<int>{4});
    }
    CHECK(becomes_true(*open.spool, [&] { return open.spool->stats().problem.empty(); }));
    CHECK(open.spool->stats().found == 3);
    for (int i : {0, 1, 2, 5})
        CHECK(next_numbers(*open.reader) == std::vector<int>{i});
    // One that was taken from memory is in no file: were the process killed, it would have to be told again.
    CHECK(open.spool->committed_mark() == "old");
    CHECK_FALSE(open.spool->settled());
    open.reader->release(ids[0]);
    REQUIRE(open.spool->maintain());
    CHECK(open.spool->settled());
    CHECK(open.spool->committed_mark() == "new");
    const auto stats = open.spool->stats();
    CHECK(stats.in == 6);
    CHECK(stats.released == 6);
    CHECK(stats.held == 0);
    CHECK(stats.files_set_aside == 0);
    CHECK(balanced(stats));
}

TEST_CASE("the file is ahead of its mark as long as it was written without one") {
    TemporaryFolder folder;
    Open open = open_spool(options_in(folder.path()));
    REQUIRE(open.spool->append(messages(0, 1), "first"));
    CHECK_FALSE(open.spool->is_ahead_of_mark());
    REQUIRE(next_numbers(*open.reader) == std::vector<int>{0});
    std::vector<uint64_t> ids;
    {
        const FullDisk full(fs::file_size(folder.file() + "-wal"));
        REQUIRE_FALSE(open.spool->append(messages(1, 1, 10'000), "second"));
        // The reader takes it from memory.
        CHECK(open.spool->is_ahead_of_mark());
        REQUIRE(next_numbers(*open.reader, &ids) == std::vector<int>{1});
    }
    REQUIRE(becomes_true(*open.spool, [&] { return open.spool->stats().problem.empty(); }));
    REQUIRE(open.spool->append(messages(2, 1), "third"));
    REQUIRE(open.spool->stats().memory_bytes > 0);
    CHECK(open.spool->committed_mark() == "first");
    CHECK(open.spool->is_ahead_of_mark());
    open.reader->release(ids[0]);
    // The mark is still the old one, and 2 is in the file.
    CHECK(open.spool->committed_mark() == "first");
    CHECK(open.spool->is_ahead_of_mark());
    REQUIRE(open.spool->maintain());
    CHECK(open.spool->committed_mark() == "third");
    CHECK_FALSE(open.spool->is_ahead_of_mark());
    CHECK(open.spool->settled());
}

TEST_CASE("what the disk does not take at the end is left to the next spool") {
    TemporaryFolder folder;
    Open open = open_spool(options_in(folder.path()));
    REQUIRE(open.spool->append(messages(0, 1), "first"));
    Leftover left;
    {
        const FullDisk full(fs::file_size(folder.file() + "-wal"));
        REQUIRE_FALSE(open.spool->append(messages(1, 2, 10'000), "second"));
        REQUIRE(next_numbers(*open.reader) == std::vector<int>{0});
        REQUIRE(next_numbers(*open.reader) == std::vector<int>{1, 2});
        std::vector<uint64_t> ids;
        (void)open.spool->append(messages(3, 2, 10'000), "third");
        REQUIRE(next_numbers(*open.reader, &ids) == std::vector<int>{3, 4});
        (void)open.spool->append(messages(5, 1, 10'000), "fourth");
        CHECK_FALSE(open.spool->outlives());
        open.reader->give_back();
        left = open.spool->finish();
        CHECK(open.spool->stats().held == 4);  // that 0 was released is not in the file either
        CHECK(balanced(open.spool->stats()));
    }
    // It must not say that it has them, though the disk would take that now.
    open = {};
    CHECK(left.events() == 3);
    CHECK(left.released == 2);
    CHECK(left.dropped == 0);
    CHECK(left.mark == "fourth");
    open = open_spool(options_in(folder.path()));
    CHECK(open.spool->committed_mark() == "first");
    CHECK(open.spool->newest_mark() == "first");
    open.spool->take_over(std::move(left));
    CHECK(open.spool->newest_mark() == "fourth");
    CHECK(open.spool->committed_mark() == "first");
    CHECK_FALSE(open.spool->outlives());
    CHECK(open.spool->stats().in == 6);
    CHECK(balanced(open.spool->stats()));
    REQUIRE(open.spool->append(messages(6, 1), "fifth"));
    CHECK(open.spool->outlives());
    CHECK(open.spool->committed_mark() == "fifth");
    std::vector<int> rest;
    for (auto some = next_numbers(*open.reader); !some.empty(); some = next_numbers(*open.reader))
        rest.insert(rest.end(), some.begin(), some.end());
    CHECK(rest == std::vector<int>{0, 3, 4, 5, 6});
    REQUIRE(open.spool->maintain());
    const auto stats = open.spool->stats();
    CHECK(stats.in == 7);
    CHECK(stats.released == 7);
    CHECK(stats.held == 0);
    CHECK(balanced(stats));
    CHECK(open.spool->finish().empty());
}

TEST_CASE("a folder that is deleted is made again, with what was in the file") {
    TemporaryFolder folder;
    const std::string place = folder.path() + "/spool";
    Open open = open_spool(options_in(place));
    for (int i = 0; i < 5; i++)
        REQUIRE(open.spool->append(messages(i, 1), "mark"));
    CHECK(next_numbers(*open.reader) == std::vector<int>{0});
    fs::remove_all(place);
    CHECK(becomes_true(*open.spool, [&] { return fs::exists(place + "/spool.db"); }));
    REQUIRE(open.spool->append(messages(5, 1), {}));
    for (int i = 1; i < 6; i++)
        CHECK(next_numbers(*open.reader) == std::vector<int>{i});
    REQUIRE(open.spool->maintain());
    const auto stats = open.spool->stats();
    CHECK(stats.released == 6);
    CHECK(stats.damaged == 0);
    CHECK(stats.held == 0);
    CHECK(stats.files_set_aside == 0);
    CHECK(balanced(stats));
    // The lock is there as well.
    CHECK_FALSE(Spool::open(options_in(place)));
    open = {};
    CHECK(open_spool(options_in(place)).spool->committed_mark() == "mark");
}

TEST_CASE("a directory that cannot be one is a mistake of the configuration") {
    TemporaryFolder folder;
    write_file(folder.path() + "/file", "");
    for (const std::string& path :
         {folder.path() + "/file", folder.path() + "/file/spool", std::string("spool")}) {
        INFO(path);
        auto spool = Spool::open(options_in(path));
        REQUIRE_FALSE(spool);
        CHECK(spool.error().code == ExitCode::configuration);
    }
}
