// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/audit.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/catch.h"

namespace tests {

namespace {

using nlohmann::json;

// By run, the numbers that came.
using Sequences = std::map<std::string, std::set<uint64_t>>;

struct Stream {
    Sequences events;
    // CLOSED events, each once, by network namespace and pid of the owner; 0: not known.
    std::map<uint64_t, std::map<uint64_t, uint64_t>> ends_of;
    uint64_t records = 0;
};

Stream stream_of(const std::string& jsonl) {
    Stream stream;
    std::istringstream lines(jsonl);
    for (std::string line; std::getline(lines, line);) {
        const json event = json::parse(line);
        ++stream.records;
        if (!stream.events[event.at("run_id")].insert(number(event, "sequence")).second) continue;
        if (event.at("kind") != "EVENT_KIND_CLOSED") continue;
        const json process = event.value("process", json::object());
        ++stream.ends_of[event.value("netns", 0U)][process.value("pid", 0U)];
    }
    return stream;
}

uint64_t missing(const std::set<uint64_t>& numbers, uint64_t last) {
    return last -
           static_cast<uint64_t>(std::ranges::count_if(numbers, [=](uint64_t n) { return n <= last; }));
}

const json* stage_of(const json& report, const std::string& name) {
    for (const json& stage : report.at("stages"))
        if (stage.at("name") == name) return &stage;
    return nullptr;
}

// The last report of each run; checks each on the way.
std::map<std::string, json> last_reports(const std::vector<json>& reports, Sequences& numbers) {
    std::map<std::string, json> last;
    for (const json& report : reports) {
        check_stages(report);
        numbers[report.at("run_id")].insert(number(report, "sequence"));
        json& known = last[report.at("run_id")];
        if (known.is_null() || number(known, "sequence") < number(report, "sequence")) known = report;
    }
    return last;
}

void add_losses(Outcome& outcome, const json& report) {
    for (const json& stage : report.at("stages")) {
        // What transmit sets aside, the spool has not released: it counts the same events, beyond this run
        // too.
        if (stage.at("name") == "transmit") continue;
        for (const json& loss : stage.value("lost", json::array())) {
            outcome.reasons[loss.at("reason")] += number(loss, "count");
            outcome.lost += number(loss, "count");
        }
    }
}

void print(const Outcome& outcome) {
    std::printf("%s: seen %lu, delivered %lu, lost %lu, duplicated %lu",
                Catch::getResultCapture().getCurrentTestName().c_str(), outcome.seen, outcome.delivered,
                outcome.lost, outcome.duplicated);
    for (const auto& [reason, count] : outcome.reasons)
        std::printf(", %s %lu", reason.c_str(), count);
    std::printf("\n");
    std::fflush(stdout);
}

}  // namespace

Outcome require_audit(const Setting& setting, const std::vector<Truth>& truths, Killed killed) {
    const Finished consumed = setting.consume();
    const Verdict verdict = verdict_of(consumed);
    Stream stream = stream_of(consumed.output);
    Sequences report_numbers;
    const auto reports = last_reports(setting.reports(), report_numbers);

    Outcome outcome;
    outcome.duplicated = verdict.duplicates;
    for (const auto& [run, numbers] : stream.events)
        outcome.delivered += numbers.size();
    REQUIRE(verdict.events == outcome.delivered);
    REQUIRE(stream.records == outcome.delivered + outcome.duplicated);

    // What is missing behind the encoder, against what spool and transmit say they lost.
    uint64_t untold = 0;
    for (const auto& [run, report] : reports) {
        INFO(run << ": " << report.dump());
        const json& capture = *stage_of(report, "capture");
        const json& connections = *stage_of(report, "connections");
        outcome.seen += number(capture, "in");
        add_losses(outcome, report);
        CHECK(number(capture, "out") == number(connections, "in"));
        // Runs that the kernel skipped are told, be it as none.
        CHECK(report.contains("recursion_misses"));
        const auto events = stream.events.find(run);
        const std::set<uint64_t> none;
        const std::set<uint64_t>& numbers = events == stream.events.end() ? none : events->second;
        // One that was killed had no last word: what it told after its last report counts too.
        uint64_t last = number(report, "connections_last_sequence");
        if (report.at("reason") == "REPORT_REASON_STOP")
            CHECK(number(connections, "out") == last);
        else if (!numbers.empty())
            last = std::max(last, *numbers.rbegin());
        const std::set<uint64_t>& of_reports = report_numbers[run];
        untold += missing(numbers, last) + missing(of_reports, *of_reports.rbegin());
    }
    uint64_t lost_behind = 0;
    for (const char* reason : {"evicted", "damaged", "memory_full", "too_large", "expired", "killed"})
        lost_behind += outcome.reasons[reason];
    const uint64_t not_lost = killed == Killed::exact ? 0 : outcome.reasons["killed"];
    std::erase_if(outcome.reasons, [](const auto& reason) { return reason.second == 0; });
    print(outcome);
    CHECK(untold <= lost_behind);
    CHECK(untold + not_lost >= lost_behind);
    if (untold == lost_behind) CHECK((verdict.holes == 0) == (lost_behind == 0));

    // A namespace's number may have been an earlier one's, or another program's.
    std::map<uint64_t, uint64_t> made, told;
    for (const Truth& truth : truths) {
        if (!made.contains(truth.netns)) told[truth.netns] += stream.ends_of[truth.netns][0];
        made[truth.netns] += 2 * truth.connections;
        told[truth.netns] += stream.ends_of[truth.netns][truth.pid];
    }
    for (const auto& [netns, ends] : made) {
        INFO("network namespace " << netns);
        CHECK(told[netns] <= ends);
        CHECK(told[netns] + outcome.lost >= ends);
    }
    return outcome;
}

void require_delivered(const Setting& setting, uint64_t events, seconds limit) {
    REQUIRE(eventually(limit, [&] { return setting.delivered() >= events; }));
}

}  // namespace tests
