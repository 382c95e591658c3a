// SPDX-License-Identifier: Apache-2.0
//
// What can happen to the agent's process and to those that it watches: faults 60 to 63, 66.
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"
#include "tests/faults/refusal.h"

using namespace tests;

namespace {

std::string pid_of(const Process& process) {
    return std::to_string(process.pid());
}

// A share of one processor, for a process and those that it starts: cgroup v2's cpu.max, or v1's quota.
class Quota {
public:
    Quota(pid_t pid, int percent) {
        const std::string v1 = "/sys/fs/cgroup/cpu";
        const bool old = std::filesystem::exists(v1 + "/cpu.cfs_quota_us");
        folder_ = (old ? v1 : "/sys/fs/cgroup") + "/tcptrail-fault-" + std::to_string(getpid());
        std::filesystem::create_directory(folder_);
        if (old)
            write("cpu.cfs_quota_us", std::to_string(percent * 1000));
        else
            write("cpu.max", std::to_string(percent * 1000) + " 100000");
        write("cgroup.procs", std::to_string(pid));
    }
    Quota(const Quota&) = delete;
    Quota& operator=(const Quota&) = delete;
    // Its processes must have ended.
    ~Quota() { rmdir(folder_.c_str()); }

private:
    void write(const char* file, const std::string& value) const {
        std::ofstream out(folder_ + "/" + file);
        out << value << std::flush;
        REQUIRE(out);
    }

    std::string folder_;
};

}  // namespace

TEST_CASE("fault 60: a process whose name is no text", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    const std::string name = "a\n\x1b[31m\xff";
    const std::string program = setting.folder() / name;
    std::filesystem::copy_file(built("tests/tools/generate"), program);
    Process agent(setting.agent());
    REQUIRE(is_tracing(agent));
    std::vector<std::string> command = generator(100, 100);
    command[0] = program;
    const Truth truth = truth_of(run(command));
    require_stops(agent);
    CHECK(require_audit(setting, {truth}).lost == 0);

    uint64_t told = 0, by_executable = 0;
    std::istringstream lines(setting.consume().output);
    for (std::string line; std::getline(lines, line);) {
        const auto event = nlohmann::json::parse(line);
        if (event.value("netns", 0U) != truth.netns) continue;
        ++told;
        CHECK(event["process"]["name"] == "a\n\x1b[31m\\xff");
        // Of the last ones it was gone before it could be asked.
        const std::string executable = event["process"].value("executable", "");
        if (executable.empty()) continue;
        ++by_executable;
        CHECK(executable.ends_with("/a\n\x1b[31m\\xff"));
    }
    CHECK(told == 200);
    CHECK(by_executable > 0);
    // On a terminal nothing of it acts.
    const Finished table =
        run({built("tcptrail"), "consume", "--brokers", brokers(), "--topic", setting.topic(), "--from",
             "beginning", "--count", "200", "--netns", std::to_string(truth.netns)});
    CHECK(table.output.find('\x1b') == table.output.npos);
    INFO(table.output);
    CHECK(table.output.find("a\\x0a\\x1b[31") != table.output.npos);
}

TEST_CASE("fault 61: no descriptor is free any more while it runs", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(setting.agent(brokers(), {"report.interval_secs=1"}));
    REQUIRE(is_tracing(agent));
    system_command({"prlimit", "--pid", pid_of(agent), "--nofile=4:4096"});
    Process load(generator(3000, 1000));
    REQUIRE(load.wait(seconds(60)) == 0);
    const Truth truth = truth_of(Finished{0, load.output(), load.errors()});
    system_command({"prlimit", "--pid", pid_of(agent), "--nofile=4096:4096"});
    require_delivered(setting, 2 * truth.connections);
    require_stops(agent);
    CHECK(require_audit(setting, {truth}).lost == 0);
}

// An allocation that fails ends it, in librdkafka or in its own code: then it must not take the disk's with
// it.
TEST_CASE("fault 61: memory runs out, and what is on disk outlives it", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Truth truth{};
    {
        Process agent(setting.agent(nobody_answers, {"report.interval_secs=1"}));
        REQUIRE(is_tracing(agent));
        truth = truth_of(run(generator(1000)));
        std::this_thread::sleep_for(seconds(1));
        system_command({"prlimit", "--pid", pid_of(agent), "--as=1"});
        (void)truth_of(run(generator(5000)));
        std::this_thread::sleep_for(seconds(1));
        agent.signal(SIGKILL);  // if it still lives
        REQUIRE(agent.wait(seconds(10)) > 128);
    }
    Process agent(setting.agent());
    require_delivered(setting, 2 * truth.connections);
    require_stops(agent);
    (void)require_audit(setting, {truth});
}

TEST_CASE("fault 61: no thread can be started", "[faults][root]") {
    const Setting setting;
    const std::string told =
        require_refusal(behind({built("tests/tools/deny"), "EAGAIN", "clone,clone3"}, setting.agent()), 1);
    CHECK(told.find("cannot start the thread") != told.npos);
}

TEST_CASE("fault 62: as fast as it goes, then silence", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(setting.agent(brokers(), {"report.interval_secs=1"}));
    REQUIRE(is_tracing(agent));
    Process one(generator(10'000)), other(generator(10'000));
    std::vector<Truth> truths;
    for (Process* const load : {&one, &other}) {
        const int status = load->wait(seconds(60));
        truths.push_back(truth_of(Finished{status, load->output(), load->errors()}));
    }
    // The tail comes without anything that pushes it.
    require_delivered(setting, 40'000);
    require_stops(agent);
    CHECK(require_audit(setting, truths).lost == 0);
}

TEST_CASE("fault 63: hardly any processor time", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(
        behind({"/usr/bin/nice", "-n", "19"}, setting.agent(brokers(), {"capture.ring_bytes=65536"})));
    REQUIRE(is_tracing(agent));
    const Quota quota(agent.pid(), 5);
    const Truth truth = truth_of(run(generator(10'000)));
    agent.signal(SIGTERM);
    REQUIRE(agent.wait(seconds(60)) == 0);
    // The rest is on disk.
    Process next(setting.agent());
    REQUIRE(is_tracing(next));
    require_stops(next);
    const Outcome outcome = require_audit(setting, {truth});
    CHECK(outcome.seen == outcome.delivered);
    CHECK(outcome.lost == 0);
}

TEST_CASE("fault 66: the agent is in a pid namespace of its own", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    const std::vector<std::string> apart{"/usr/bin/unshare", "--pid", "--fork", "--kill-child",
                                         "--mount-proc"};
    Process agent(behind(apart, setting.agent()));
    REQUIRE(is_tracing(agent));
    const Truth truth = truth_of(run(generator(200)));
    require_delivered(setting, 2 * truth.connections);
    // unshare does not pass signals on.
    std::string child;
    std::ifstream("/proc/" + pid_of(agent) + "/task/" + pid_of(agent) + "/children") >> child;
    REQUIRE(kill(std::stoi(child), SIGTERM) == 0);
    REQUIRE(agent.wait(seconds(30)) == 0);
    CHECK(require_audit(setting, {truth}).lost == 0);
    std::istringstream lines(setting.consume().output);
    for (std::string line; std::getline(lines, line);) {
        const auto event = nlohmann::json::parse(line);
        if (event.value("netns", 0U) == truth.netns) CHECK(event["process"]["name"] == "generate");
    }
}
