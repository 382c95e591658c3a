// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/verify.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.h"

namespace {

using tcptrail::commands::RunResult;
using tcptrail::commands::SequenceRange;
using tcptrail::commands::SequenceVerifier;

// Each is emitted at the time of its number.
void add(SequenceVerifier& verifier, const std::vector<uint64_t>& sequences) {
    for (const uint64_t sequence : sequences)
        verifier.add("run-a", sequence, sequence);
}

std::string printed(const SequenceVerifier& verifier) {
    char* text = nullptr;
    size_t size = 0;
    std::FILE* out = open_memstream(&text, &size);
    REQUIRE(out != nullptr);
    verifier.print(out);
    std::fclose(out);
    std::string copy(text, size);
    std::free(text);
    return copy;
}

}  // namespace

TEST_CASE("verify: a whole run in order", "[verify]") {
    SequenceVerifier verifier;
    for (uint64_t i = 1; i <= 20000; i++)
        verifier.add("run-a", i);
    CHECK_FALSE(verifier.has_holes());
    CHECK(printed(verifier) ==
          "run run-a: 1-20000, 20000 events, 0 holes, 0 duplicates\n"
          "verify: 1 run, 20000 events, 0 holes, 0 duplicates\n");
}

TEST_CASE("verify: nothing at all", "[verify]") {
    const SequenceVerifier verifier;
    CHECK_FALSE(verifier.has_holes());
    CHECK(printed(verifier) == "verify: 0 runs, 0 events, 0 holes, 0 duplicates\n");
}

TEST_CASE("verify: holes and duplicates are told by range and by number", "[verify]") {
    SequenceVerifier verifier;
    add(verifier, {10, 2, 1, 2, 2, 4, 11, 20});
    verifier.add("run-b", 1);
    CHECK(verifier.has_holes());
    CHECK(printed(verifier) ==
          "run run-a: 1-20, 6 events, 3 holes (14 events missing), 2 duplicates; missing 3, 5-9, 12-19\n"
          "run run-b: 1-1, 1 event, 0 holes, 0 duplicates\n"
          "verify: 2 runs, 7 events, 3 holes (14 events missing), 2 duplicates\n");
}

TEST_CASE("verify: a missing beginning is a hole, unless it may be missing", "[verify]") {
    SequenceVerifier strict;
    add(strict, {5, 6, 7});
    CHECK(strict.results()[0].first_holes == std::vector<SequenceRange>{{1, 4}});

    SequenceVerifier lenient(4);
    add(lenient, {2, 5, 6, 7});
    CHECK_FALSE(lenient.has_holes());
    CHECK(printed(lenient) ==
          "run run-a: 2-7 checked from 5, 4 events, 0 holes, 0 duplicates\n"
          "verify: 1 run, 4 events, 0 holes, 0 duplicates\n");
    add(lenient, {9});
    CHECK(lenient.results()[0].first_holes == std::vector<SequenceRange>{{8, 8}});

    // One that began since then must be there from 1 on.
    lenient.set_beginning("run-a", 4);
    CHECK(lenient.results()[0].checked_from == 5);
    lenient.set_beginning("run-a", 5);
    CHECK(lenient.results()[0].first_holes == std::vector<SequenceRange>{{1, 1}, {3, 4}, {8, 8}});
}

TEST_CASE("verify: where all may be removed nothing is checked, and that is said", "[verify]") {
    // Partitions are cut at different places, and what waited came behind what was newer: 150 to 300 in any
    // order.
    SequenceVerifier verifier(300);
    for (uint64_t i = 300; i >= 150; i -= 3)
        verifier.add("run-a", i, i);
    CHECK_FALSE(verifier.has_holes());
    CHECK(printed(verifier) ==
          "run run-a: 150-300 not checked, 51 events, 0 holes, 0 duplicates\n"
          "verify: 1 run, 51 events, 0 holes, 0 duplicates, 1 run not checked\n");
    add(verifier, {303, 301});
    CHECK(verifier.results()[0].checked_from == 301);
    CHECK(verifier.results()[0].first_holes == std::vector<SequenceRange>{{302, 302}});
}

TEST_CASE("verify: what comes later fills holes, and makes none", "[verify]") {
    SequenceVerifier verifier;
    add(verifier, {1, 2, 5});
    verifier.expect_last("run-a", 7);
    verifier.judge_up_to_here();
    CHECK(verifier.results()[0].first_holes == std::vector<SequenceRange>{{3, 4}, {6, 7}});
    add(verifier, {4, 10, 20});
    verifier.add("run-b", 3);
    CHECK(verifier.results()[0].first_holes == std::vector<SequenceRange>{{3, 3}, {6, 7}});
    add(verifier, {3, 7, 6});
    CHECK_FALSE(verifier.has_holes());
    CHECK(printed(verifier) ==
          "run run-a: 1-20, 9 events, 0 holes, 0 duplicates\n"
          "run run-b: 3-3, 1 event, 0 holes, 0 duplicates\n"
          "verify: 2 runs, 10 events, 0 holes, 0 duplicates\n");
}

TEST_CASE("verify: a run with holes is explained, and no other", "[verify]") {
    SequenceVerifier verifier;
    add(verifier, {1, 3});
    verifier.add("run-b", 1);
    verifier.explain("run-a", "why");
    verifier.explain("run-b", "nothing to explain");
    CHECK(printed(verifier) ==
          "run run-a: 1-3, 2 events, 1 hole (1 event missing), 0 duplicates; missing 2\n"
          "    why\n"
          "run run-b: 1-1, 1 event, 0 holes, 0 duplicates\n"
          "verify: 2 runs, 3 events, 1 hole (1 event missing), 0 duplicates\n");
}

TEST_CASE("verify: a missing tail is found when the last number is known", "[verify]") {
    SequenceVerifier verifier;
    add(verifier, {1, 2, 3});
    verifier.expect_last("run-a", 3);
    CHECK_FALSE(verifier.has_holes());
    verifier.expect_last("run-a", 10);
    verifier.expect_last("run-a", 5);  // an older report
    verifier.expect_last("run-b", 2);  // nothing of it came
    verifier.expect_last("run-c", 0);  // nothing was to come
    CHECK(printed(verifier) ==
          "run run-a: 1-3, 3 events, 1 hole (7 events missing), 0 duplicates; missing 4-10\n"
          "run run-b: nothing, 0 events, 1 hole (2 events missing), 0 duplicates; missing 1-2\n"
          "verify: 2 runs, 3 events, 2 holes (9 events missing), 0 duplicates\n");
}

TEST_CASE("verify: of a run that retention has removed, nothing is expected", "[verify]") {
    SequenceVerifier verifier(7);
    verifier.expect_last("run-a", 10);
    CHECK_FALSE(verifier.has_holes());
    add(verifier, {8});
    CHECK(verifier.results()[0].first_holes == std::vector<SequenceRange>{{9, 10}});
}

TEST_CASE("verify: many holes are all counted, the first are listed", "[verify]") {
    SequenceVerifier verifier;
    for (uint64_t i = 2; i <= 60; i += 2)
        verifier.add("run-a", i);
    const RunResult result = verifier.results().at(0);
    CHECK(result.holes == 30);
    CHECK(result.missing == 30);
    CHECK(result.first_holes.size() == SequenceVerifier::listed_holes);
    CHECK_THAT(printed(verifier), Catch::Matchers::ContainsSubstring(" 37, 39 and 10 more\n"));
}

TEST_CASE("verify: the largest numbers do not overflow", "[verify]") {
    SequenceVerifier verifier;
    verifier.add("run-a", UINT64_MAX);
    verifier.add("run-a", UINT64_MAX - 1);
    verifier.add("run-a", UINT64_MAX);
    const RunResult result = verifier.results().at(0);
    CHECK(result.last == UINT64_MAX);
    CHECK(result.duplicates == 1);
    CHECK(result.first_holes == std::vector<SequenceRange>{{1, UINT64_MAX - 2}});
}

TEST_CASE("verify: what has no number is counted apart, and a hostile run id is made safe", "[verify]") {
    SequenceVerifier verifier;
    verifier.add("run-a", 0);
    verifier.add("\x1b[2J", 1);
    CHECK(printed(verifier) ==
          "run \\x1b[2J: 1-1, 1 event, 0 holes, 0 duplicates\n"
          "verify: 1 run, 1 event, 0 holes, 0 duplicates, 1 event without a number\n");
}

TEST_CASE("verify: agrees with a naive model", "[verify]") {
    const unsigned seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    auto below = [&](uint64_t n) { return random() % n; };

    for (int round = 0; round < 300; round++) {
        const uint64_t length = 1 + below(200);
        std::optional<uint64_t> since;
        if (below(2) == 0) since = below(length);
        SequenceVerifier verifier(since);

        // The model: what was delivered, as a set.
        std::set<uint64_t> delivered;
        uint64_t deliveries = 0;
        for (uint64_t i = 0, n = below(3 * length); i < n; i++) {
            const uint64_t sequence = 1 + below(length);
            verifier.add("run-a", sequence, sequence);
            delivered.insert(sequence);
            deliveries++;
        }
        const uint64_t expected = below(2) == 0 ? 0 : below(length + 20);
        verifier.expect_last("run-a", expected);

        uint64_t from = 1;
        uint64_t to = std::max(expected, delivered.empty() ? 0 : *delivered.rbegin());
        if (since) {
            const auto first = delivered.upper_bound(*since);
            from = first == delivered.end() ? 0 : *first;
            if (from == 0) to = 0;
        }
        uint64_t holes = 0, missing = 0;
        std::vector<SequenceRange> ranges;
        for (uint64_t i = std::max<uint64_t>(from, 1); i <= to; i++) {
            if (delivered.contains(i)) continue;
            missing++;
            if (i > from && !delivered.contains(i - 1)) {
                ranges.back().last = i;
            } else {
                holes++;
                ranges.push_back({i, i});
            }
        }
        if (ranges.size() > SequenceVerifier::listed_holes) ranges.resize(SequenceVerifier::listed_holes);

        CHECK(verifier.has_holes() == (holes > 0));
        const auto results = verifier.results();
        if (results.empty()) {
            CHECK((delivered.empty() && expected == 0));
            continue;
        }
        CHECK(results[0].events == delivered.size());
        CHECK(results[0].duplicates == deliveries - delivered.size());
        CHECK(results[0].holes == holes);
        CHECK(results[0].missing == missing);
        CHECK(results[0].first_holes == ranges);
        CHECK(results[0].first == (delivered.empty() ? 0 : *delivered.begin()));
        CHECK(results[0].last == (delivered.empty() ? 0 : *delivered.rbegin()));
    }
}
