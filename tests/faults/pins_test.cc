// SPDX-License-Identifier: Apache-2.0
//
// Agents that end, and tracing that does not: faults 5, 17, 18, 53 and 56, detach, the dead man's switch.
#include <signal.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"
#include "tests/faults/pins.h"

using namespace tests;

namespace {

// How many programs on this host are attached to the spine.
size_t spines() {
    const Finished shown = run({"/usr/sbin/bpftool", "-j", "prog", "show"});
    REQUIRE(shown.status == 0);
    size_t count = 0;
    for (const auto& program : nlohmann::json::parse(shown.output))
        count += program.value("name", "").starts_with("inet_sock_set_s") ? 1 : 0;
    return count;
}

// Ends of one generator's connections that the consumer has, by its pid: the number of its network namespace
// may have been another's before.
uint64_t told_of(const Setting& setting, const Truth& truth) {
    std::set<std::string> ids;
    std::istringstream lines(setting.consume().output);
    for (std::string line; std::getline(lines, line);) {
        const auto event = nlohmann::json::parse(line);
        if (event.value("process", nlohmann::json::object()).value("pid", 0U) == truth.pid)
            ids.insert(event.at("connection_id"));
    }
    return ids.size();
}

uint64_t starts_of(const Setting& setting) {
    uint64_t starts = 0;
    for (const auto& report : setting.reports())
        starts = std::max<uint64_t>(starts, report.value("starts", 0U));
    return starts;
}

// In the last report: one gap, that ended before what came after it was made.
void require_gap(const Setting& setting, const std::string& reason) {
    const auto reports = setting.reports();
    REQUIRE(!reports.empty());
    const auto gaps = reports.back().value("capture_gaps", nlohmann::json::array());
    INFO(gaps.dump());
    REQUIRE(gaps.size() == 1);
    CHECK(gaps[0].at("reason").get<std::string>().find(reason) != std::string::npos);
    // Of a pause of more than three seconds the programs traced the first two.
    const uint64_t nanos = number(gaps[0], "until_unix_nanos") - number(gaps[0], "from_unix_nanos");
    CHECK(nanos > 1'000'000'000);
    CHECK(nanos < 10'000'000'000);
}

}  // namespace

TEST_CASE("fault 56: the agent is killed: what comes meanwhile is told by the next one", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    const BpfFs bpffs(setting.folder());
    std::vector<Truth> truths;
    {
        Process agent(setting.agent(brokers(), {bpffs.setting()}));
        REQUIRE(is_tracing(agent));
        truths.push_back(truth_of(run(generator(300, 1000))));
        agent.signal(SIGKILL);
    }
    truths.push_back(truth_of(run(generator(500))));
    // Again and again, before it has said anything.
    for (const int milliseconds : {5, 20, 50, 100, 200, 400}) {
        Process agent(setting.agent(brokers(), {bpffs.setting()}));
        std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
        agent.signal(SIGKILL);
    }
    truths.push_back(truth_of(run(generator(500))));
    Process agent(setting.agent(brokers(), {bpffs.setting()}));
    REQUIRE(is_tracing(agent));
    truths.push_back(truth_of(run(generator(300, 1000))));
    require_delivered(setting, 2 * 1600);
    require_stops(agent);
    CHECK(starts_of(setting) >= 2);
    const Verdict verdict = verdict_of(setting.consume());
    CHECK(verdict.runs == 1);
    CHECK(verdict.holes == 0);
    CHECK(detach(bpffs).status == 0);
    const Outcome outcome = require_audit(setting, truths);
    CHECK(outcome.lost == 0);
    // Also of what happened while no agent ran.
    for (const Truth& truth : truths)
        CHECK(told_of(setting, truth) == 2 * truth.connections);
}

TEST_CASE("fault 18: a second agent where one is tracing", "[faults][root]") {
    const Setting first, second;
    const BpfFs bpffs(first.folder());
    Process agent(first.agent("127.0.0.1:1", {bpffs.setting()}));
    REQUIRE(is_tracing(agent));
    const Finished refused = run(second.agent("127.0.0.1:1", {bpffs.setting()}));
    CHECK(refused.status == 69);
    CHECK(refused.errors.find("in use by process " + std::to_string(agent.pid())) != std::string::npos);
    const Finished detached = detach(bpffs);
    CHECK(detached.status == 69);
    CHECK(detached.errors.find("in use by process " + std::to_string(agent.pid())) != std::string::npos);
    CHECK(std::filesystem::exists(bpffs.pins() / "control"));
    require_stops(agent);
    CHECK(detach(bpffs).status == 0);
}

TEST_CASE("fault 18: no BPF file system, or one that is read-only", "[faults][root]") {
    const Setting setting;
    SECTION("none") {
        Process agent(setting.agent("127.0.0.1:1", {"capture.pin=" + (setting.folder() / "no").string()}));
        REQUIRE(is_tracing(agent));
        CHECK(agent.errors().find("is no BPF file system") != std::string::npos);
        CHECK(!std::filesystem::exists(setting.folder() / "no"));
        require_stops(agent);
    }
    SECTION("read-only") {
        const BpfFs bpffs(setting.folder());
        bpffs.make_read_only();
        Process agent(setting.agent("127.0.0.1:1", {bpffs.setting()}));
        REQUIRE(is_tracing(agent));
        CHECK(agent.errors().find("Read-only file system") != std::string::npos);
        require_stops(agent);
    }
}

TEST_CASE("detach leaves nothing", "[faults][root]") {
    const size_t before = spines();
    const Setting setting;
    const BpfFs bpffs(setting.folder());
    {
        Process agent(setting.agent("127.0.0.1:1", {bpffs.setting()}));
        REQUIRE(is_tracing(agent));
        require_stops(agent);
        CHECK(agent.errors().find("tracing goes on") != std::string::npos);
    }
    CHECK(spines() > before);
    const Finished detached = detach(bpffs);
    CHECK(detached.status == 0);
    CHECK(detached.output.find("detached and removed " + bpffs.pins().string()) != std::string::npos);
    CHECK(!std::filesystem::exists(bpffs.pins()));
    CHECK(eventually(seconds(10), [&] { return spines() <= before; }));
    const Finished again = detach(bpffs);
    CHECK(again.status == 0);
    CHECK(again.output.find("nothing is pinned in") != std::string::npos);
}

TEST_CASE("programs that hear of no agent switch themselves off", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    const BpfFs bpffs(setting.folder());
    const std::vector<std::string> command =
        setting.agent(brokers(), {bpffs.setting(), "capture.abandon_after_secs=2", "report.interval_secs=1"});
    Truth before{}, while_off{}, afterwards{};
    SECTION("it is dead") {
        {
            Process agent(command);
            REQUIRE(is_tracing(agent));
            before = truth_of(run(generator(500)));
            agent.signal(SIGKILL);
        }
        std::this_thread::sleep_for(seconds(3));
        while_off = truth_of(run(generator(500)));
        Process agent(command);
        REQUIRE(is_tracing(agent));
        CHECK(eventually(seconds(10), [&] {
            return agent.errors().find("the programs had heard of no agent for 2 s") != std::string::npos;
        }));
        CHECK(agent.errors().find("connections between the agent before and this one are missing") !=
              std::string::npos);
        afterwards = truth_of(run(generator(500, 1000)));
        require_delivered(setting, 2 * 1000);
        require_stops(agent);
        require_gap(setting,
                    "had switched themselves off: connections between the agent before and this one");
    }
    SECTION("it is frozen") {
        Process agent(command);
        REQUIRE(is_tracing(agent));
        before = truth_of(run(generator(500)));
        agent.signal(SIGSTOP);
        std::this_thread::sleep_for(seconds(3));
        while_off = truth_of(run(generator(500)));
        agent.signal(SIGCONT);
        REQUIRE(eventually(seconds(30), [&] {
            return agent.errors().find("had switched themselves off") != std::string::npos;
        }));
        afterwards = truth_of(run(generator(500, 1000)));
        require_delivered(setting, 2 * 1000);
        require_stops(agent);
        require_gap(setting, "had switched themselves off: connections of that time are not told");
    }
    CHECK(detach(bpffs).status == 0);
    CHECK(require_audit(setting, {before, afterwards}).lost == 0);
    CHECK(told_of(setting, before) == 2 * before.connections);
    // The first birth notices the time; it is told.
    CHECK(told_of(setting, while_off) <= 2);
    CHECK(told_of(setting, afterwards) == 2 * afterwards.connections);
}

TEST_CASE("fault 1: totals stay right while single records are lost", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(setting.agent(
        brokers(), {"capture.ring_bytes=4096", "capture.overflow_records=0", "report.interval_secs=1"}));
    REQUIRE(is_tracing(agent));
    agent.signal(SIGSTOP);
    const Truth lost = truth_of(run(generator(2000)));
    agent.signal(SIGCONT);
    std::this_thread::sleep_for(seconds(1));
    require_stops(agent);
    require_delivered(setting, 1);
    const auto reports = setting.reports();
    REQUIRE(!reports.empty());
    const auto& last = reports.back();
    uint64_t ring_full = 0, untold = 0, sent = 0, received = 0;
    std::map<std::string, uint64_t> ends;
    for (const auto& stage : last.at("stages"))
        for (const auto& loss : stage.value("lost", nlohmann::json::array()))
            if (loss.at("reason") == "ring_full") ring_full += number(loss, "count");
    for (const auto& kind : last.at("untold")) {
        untold += number(kind, "lifecycles");
        sent += number(kind, "bytes_sent");
        received += number(kind, "bytes_received");
        ends[kind.value("role", "") + " " + kind.value("end", "")] += number(kind, "lifecycles");
    }
    INFO(last.at("untold").dump());
    CHECK(untold == ring_full);
    CHECK(ring_full > 2 * lost.connections - 100);
    // The client sends its FIN first. Others of this host may be among them.
    CHECK(ends["CLIENT LOCAL_CLOSE"] >= lost.connections - 100);
    CHECK(ends["SERVER REMOTE_CLOSE"] >= lost.connections - 100);
    CHECK(sent >= 100 * (2 * lost.connections - 100));
    CHECK(received >= 100 * (2 * lost.connections - 100));
}
