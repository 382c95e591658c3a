// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/inspect.h"

#include <set>

#include "tests/unit/spool_files.h"

using namespace tcptrail;
using namespace tcptrail::spool;
using Catch::Matchers::ContainsSubstring;

namespace {

struct Seen {
    std::vector<std::string> values;
    std::vector<std::string> problems;
    bool hidden = false;
};

Seen look(const std::string& path) {
    auto inspector = Inspector::open(path);
    if (!inspector) FAIL(inspector.error().message);
    Seen seen;
    auto hidden = inspector->each([&](const Inspector::Found& batch) {
        for (const MessageView& message : batch.messages)
            seen.values.emplace_back(message.value);
        if (!batch.problem.empty()) seen.problems.push_back(batch.problem);
        return true;
    });
    REQUIRE(hidden);
    seen.hidden = *hidden;
    return seen;
}

Inspector::Overview overview_of(const std::string& path) {
    auto inspector = Inspector::open(path);
    if (!inspector) FAIL(inspector.error().message);
    auto overview = inspector->overview();
    if (!overview) FAIL(overview.error().message);
    return *overview;
}

}  // namespace

TEST_CASE("a spool is inspected beside the agent that uses it, and changes nothing") {
    TemporaryFolder folder;
    Open open = open_spool(options_in(folder.path()));
    for (int i = 0; i < 40; i++)
        REQUIRE(open.spool->append(messages(i * 5, 5), "mark"));
    const auto overview = overview_of(folder.file());
    REQUIRE(overview.totals);
    CHECK(overview.totals->in == 200);
    CHECK(overview.totals->events == 200);
    CHECK(overview.batches == 40);
    CHECK(overview.has_mark);
    CHECK(overview.log_bytes > 0);
    CHECK(overview.oldest_unix_nanos <= overview.newest_unix_nanos);
    const Seen seen = look(folder.file());
    REQUIRE(seen.values.size() == 200);
    CHECK(seen.values.front() == messages(0, 1)[0].value);
    CHECK(seen.values.back() == messages(199, 1)[0].value);
    CHECK(seen.problems.empty());
    CHECK_FALSE(seen.hidden);
    CHECK(drain(open).size() == 200);
    CHECK(look(folder.file()).values.empty());
}

TEST_CASE("nothing is made beside a spool that is at rest") {
    TemporaryFolder folder;
    {
        Open open = open_spool(options_in(folder.path()));
        REQUIRE(open.spool->append(messages(0, 5), {}));
    }
    const auto names = [&folder] {
        std::set<std::string> list;
        for (const auto& entry : fs::directory_iterator(folder.path()))
            list.insert(entry.path().filename());
        return list;
    };
    const auto before = names();
    const std::string bytes = read_file(folder.file());
    CHECK(look(folder.file()).values.size() == 5);
    CHECK(overview_of(folder.file()).totals->events == 5);
    CHECK(names() == before);
    CHECK(read_file(folder.file()) == bytes);
    CHECK_FALSE(Inspector::open(folder.path() + "/none"));
    CHECK_FALSE(fs::exists(folder.path() + "/none"));
}

TEST_CASE("what is damaged is named, and the rest is shown") {
    TemporaryFolder folder;
    {
        Open open = open_spool(options_in(folder.path()));
        for (int i = 0; i < 6; i++)
            REQUIRE(open.spool->append(messages(i * 5, 5), {}));
    }
    sql(folder.file(),
        "UPDATE batch SET payload = zeroblob(bytes) WHERE id = 2; "
        "UPDATE batch SET events = events + 1 WHERE id = 4; PRAGMA wal_checkpoint(TRUNCATE)");
    const Seen seen = look(folder.file());
    CHECK(seen.values.size() == 20);
    CHECK(seen.problems == std::vector<std::string>{"its payload is damaged", "its head is damaged"});
    sql(folder.file(), "UPDATE total SET events = 1");
    CHECK_FALSE(overview_of(folder.file()).totals);
}

TEST_CASE("what lies on pages that can be read is shown, also of a file that was set aside") {
    TemporaryFolder folder;
    {
        Open open = open_spool(options_in(folder.path()));
        for (int i = 0; i < 200; i++)
            REQUIRE(open.spool->append(messages(i, 1, 300), {}));
    }
    {
        std::fstream file(folder.file(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(8192 * 5);
        file << std::string(8192, 'x');
    }
    Seen seen = look(folder.file());
    CHECK(seen.hidden);
    CHECK(seen.values.size() > 150);
    CHECK(seen.values.size() < 200);
    CHECK(set_aside_files(folder.path()).empty());
    {
        Open open = open_spool(options_in(folder.path()));
        (void)drain(open);
    }
    const auto aside = files_set_aside(folder.path());
    REQUIRE(aside.size() == 1);
    CHECK(aside[0].bytes > 8192 * 5);
    CHECK(look(aside[0].path).values.size() == seen.values.size());
}

TEST_CASE("a later format is named") {
    TemporaryFolder folder;
    open_spool(options_in(folder.path()));
    sql(folder.file(), "PRAGMA user_version = 7");
    auto inspector = Inspector::open(folder.file());
    REQUIRE(inspector);
    auto overview = inspector->overview();
    REQUIRE_FALSE(overview);
    CHECK_THAT(overview.error().message, ContainsSubstring("a file of format 7"));
}
