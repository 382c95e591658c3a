// SPDX-License-Identifier: Apache-2.0
//
// Limits of the agent's cgroups and of its process: faults 19, 26, 27.
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"
#include "tests/faults/refusal.h"

using namespace tests;

namespace {

namespace fs = std::filesystem;

void write_file(const fs::path& path, const std::string& text) {
    std::ofstream file(path);
    file << text;
    file.flush();
    INFO(path << " = " << text);
    REQUIRE(file.good());
}

std::string read_file(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

// A cgroup of a test's own, under a controller of v1; empty where that is not mounted.
class ControlGroup {
public:
    explicit ControlGroup(const std::string& controller) {
        const fs::path mount = "/sys/fs/cgroup/" + controller;
        if (!fs::exists(mount / "cgroup.procs")) return;
        path_ = mount / ("tcptrail-test-" + std::to_string(getpid()));
        fs::create_directory(path_);
    }
    // Its processes have ended; those that were killed may still be on their way.
    ~ControlGroup() {
        if (exists()) eventually(seconds(10), [&] { return rmdir(path_.c_str()) == 0; });
    }
    ControlGroup(const ControlGroup&) = delete;
    ControlGroup& operator=(const ControlGroup&) = delete;

    bool exists() const { return !path_.empty(); }
    fs::path file(const char* name) const { return path_ / name; }
    // The command, in it from the first instruction on.
    std::vector<std::string> run_in(const std::vector<std::string>& command) const {
        return behind(
            {"/bin/sh", "-c", "echo $$ > " + file("cgroup.procs").string() + " && exec \"$@\"", "sh"},
            command);
    }

private:
    fs::path path_;
};

}  // namespace

TEST_CASE("fault 26: the memory cgroup is too small for the maps", "[faults][root]") {
    const ControlGroup group("memory");
    if (!group.exists()) SKIP_TEST("no memory controller of cgroup v1");
    write_file(group.file("memory.limit_in_bytes"), "80M");
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(group.run_in(setting.agent()));
    REQUIRE(is_tracing(agent));
    CHECK(agent.errors().find("sized for the 80 MiB of memory that the cgroup has: capture.overflow_records "
                              "13239 instead of 131072, capture.max_connections 51400 instead of 524288") !=
          std::string::npos);
    const Truth truth = truth_of(run(generator(10000)));
    require_delivered(setting, 2 * truth.connections);
    require_stops(agent);
    // The maps are charged: with those that were asked for it would not have begun.
    CHECK(std::stoull(read_file(group.file("memory.kmem.max_usage_in_bytes"))) > 8 << 20);
    const Outcome outcome = require_audit(setting, {truth});
    CHECK(outcome.lost == 0);
}

TEST_CASE("fault 27: nothing may be locked in memory", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(behind({"/usr/bin/prlimit", "--memlock=4096:4096"}, setting.agent()));
    REQUIRE(is_tracing(agent));
    const std::string limits = read_file("/proc/" + std::to_string(agent.pid()) + "/limits");
    const size_t line = limits.find("Max locked memory");
    REQUIRE(line != std::string::npos);
    CHECK(limits.substr(line, 60).find(" 4096 ") != std::string::npos);
    const Truth truth = truth_of(run(generator(500)));
    require_delivered(setting, 2 * truth.connections);
    require_stops(agent);
    CHECK(require_audit(setting, {truth}).lost == 0);
}

TEST_CASE("fault 19: the agent is frozen by its cgroup, and thawed", "[faults][root]") {
    const ControlGroup group("freezer");
    if (!group.exists()) SKIP_TEST("no freezer of cgroup v1");
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(group.run_in(setting.agent(brokers(), {"capture.ring_bytes=65536"})));
    REQUIRE(is_tracing(agent));
    write_file(group.file("freezer.state"), "FROZEN");
    REQUIRE(eventually(seconds(10), [&] { return read_file(group.file("freezer.state")) == "FROZEN\n"; }));
    const Truth frozen = truth_of(run(generator(2000)));
    write_file(group.file("freezer.state"), "THAWED");
    require_delivered(setting, 100);
    const Truth after = truth_of(run(generator(500, 500)));
    require_stops(agent);
    const Outcome outcome = require_audit(setting, {frozen, after});
    CHECK(outcome.lost == 0);
    CHECK(account_of(setting.consume().output, after).ids.size() == 2 * after.connections);
}

TEST_CASE("fault 19: the processors that the agent may use change", "[faults][root]") {
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) SKIP_TEST("one processor");
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(setting.agent());
    REQUIRE(is_tracing(agent));
    Process load(generator(6000, 2000));
    for (int i = 0; i < 12; ++i) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(i % 2, &one);
        for (const auto& thread : fs::directory_iterator("/proc/" + std::to_string(agent.pid()) + "/task"))
            CHECK(sched_setaffinity(std::stoi(thread.path().filename()), sizeof one, &one) == 0);
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
    REQUIRE(load.wait(seconds(60)) == 0);
    const Truth truth = truth_of({0, load.output(), load.errors()});
    require_delivered(setting, 2 * truth.connections);
    require_stops(agent);
    CHECK(require_audit(setting, {truth}).lost == 0);
}
