// SPDX-License-Identifier: Apache-2.0
//
// The shared observer's last word. In the last file by name, so that it comes after most scenarios.
#include <algorithm>
#include <csignal>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/kernel/observer.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/watch.h"

using namespace tcptrail::test;

TEST_CASE("the shared observer told all and lost nothing", "[kernel]") {
    Observer& observer = shared_observer();
    Netns net;
    {
        // There is something to tell even if this test runs alone.
        Watch watch{&net};
        Actor server(net, "last-server");
        Actor client(net, "last-client");
        burst(client, server, 10);
        watch.closed(20);
    }
    const Summary summary = observer.stop(SIGINT);
    INFO(summary.line);
    CHECK(summary.exit_status == 0);
    CHECK(summary.seen == summary.told + summary.lost);
    CHECK(summary.lost == 0);

    size_t offset = 0;
    const std::vector<std::string> lines = observer.lines_from(offset);
    CHECK(lines.size() == summary.told);

    // Without a filter each sequence number from 1 on is printed once, by one run.
    std::set<std::string> runs;
    std::set<std::string> ids;
    size_t closed = 0;
    uint64_t expected_sequence = 1;
    size_t out_of_sequence = 0;
    std::string late;
    size_t camel_case = 0;
    for (const std::string& line : lines) {
        const Event event = parse_event(line);
        runs.insert(event.text("run_id"));
        if (event.number("sequence") != expected_sequence++) ++out_of_sequence;
        if (event.closed) {
            ++closed;
            const auto owner = looked_at().find(whose(event));
            if (owner != looked_at().end() && !owner->second.contains(line)) late += line + "\n";
            ids.insert(event.text("connection_id") + event.text("role"));
        }
        // The schema's names, not protobuf's lowerCamelCase.
        for (const auto& [field, value] : event.fields) {
            if (std::ranges::any_of(field, [](char c) { return c >= 'A' && c <= 'Z'; })) ++camel_case;
        }
    }
    CHECK(runs.size() == 1);
    CHECK(out_of_sequence == 0);
    CHECK(camel_case == 0);
    // Each end is told once, and no record came after its scenario had looked.
    CHECK(ids.size() == closed);
    CHECK(late == "");
}
