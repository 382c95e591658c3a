// SPDX-License-Identifier: Apache-2.0
//
// Limits of the agent's cgroups and of its process: faults 19, 26, 27.
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"
#include "tests/faults/pins.h"
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

// A cgroup of a test's own, under a controller of v1 or in the hierarchy of v2, which is mounted where nobody
// else sees it.
class ControlGroup {
public:
    enum class Version { v1, v2 };

    // Of v2, each cgroup but the root can be frozen: there "freezer" is no controller.
    ControlGroup(Version version, const std::string& controller, const fs::path& folder) {
        const std::string name = "tcptrail-test-" + std::to_string(getpid());
        if (version == Version::v1) {
            const fs::path mounted = "/sys/fs/cgroup/" + controller;
            missing_ =
                fs::exists(mounted / "cgroup.procs") ? "" : "no " + controller + " controller of cgroup v1";
            path_ = mounted / name;
        } else {
            enter_private_mounts();
            mount_ = folder / "cgroup2";
            fs::create_directory(mount_);
            if (mount("cgroup2", mount_.c_str(), "cgroup2", 0, nullptr) != 0)
                missing_ = "no cgroup v2";
            else if (controller != "freezer")
                missing_ = turn_on(controller);
            path_ = mount_ / name;
        }
        if (missing_.empty()) fs::create_directory(path_);
    }
    // Its processes have ended; those that were killed may still be on their way.
    ~ControlGroup() {
        if (missing_.empty()) eventually(seconds(10), [&] { return rmdir(path_.c_str()) == 0; });
        if (!mount_.empty()) umount2(mount_.c_str(), MNT_DETACH);
    }
    ControlGroup(const ControlGroup&) = delete;
    ControlGroup& operator=(const ControlGroup&) = delete;

    // Why it is not there; empty: it is.
    const std::string& missing() const { return missing_; }
    fs::path file(const char* name) const { return path_ / name; }
    // The command, in it from the first instruction on.
    std::vector<std::string> run_in(const std::vector<std::string>& command) const {
        return behind(
            {"/bin/sh", "-c", "echo $$ > " + file("cgroup.procs").string() + " && exec \"$@\"", "sh"},
            command);
    }

private:
    // For the children of the root. It stays so, as a service manager has it.
    std::string turn_on(const std::string& controller) const {
        std::istringstream there(read_file(mount_ / "cgroup.controllers"));
        for (std::string word; there >> word;) {
            if (word != controller) continue;
            std::ofstream file(mount_ / "cgroup.subtree_control");
            file << "+" << controller << std::flush;
            return file.good() ? "" : "cgroup v2 does not turn its " + controller + " controller on here";
        }
        return "no " + controller + " controller of cgroup v2";
    }

    std::string missing_;
    fs::path mount_, path_;
};

using Version = ControlGroup::Version;

// The maps are charged: with those that were asked for it would not have begun.
void require_small_agent_in(const ControlGroup& group, const std::function<uint64_t()>& kernel_bytes) {
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
    CHECK(kernel_bytes() > 8 << 20);
    require_stops(agent);
    const Outcome outcome = require_audit(setting, {truth});
    CHECK(outcome.lost == 0);
}

// `freeze`, `thaw`: what is written to a file of the group.
void require_goes_on_when_thawed(const ControlGroup& group, const std::function<void(bool)>& freeze) {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(group.run_in(setting.agent(brokers(), {"capture.ring_bytes=65536"})));
    REQUIRE(is_tracing(agent));
    freeze(true);
    const Truth frozen = truth_of(run(generator(2000)));
    freeze(false);
    require_delivered(setting, 100);
    const Truth after = truth_of(run(generator(500, 500)));
    require_stops(agent);
    const Outcome outcome = require_audit(setting, {frozen, after});
    CHECK(outcome.lost == 0);
    CHECK(account_of(setting.consume().output, after).ids.size() == 2 * after.connections);
}

}  // namespace

// A host has the controller in one of the versions.
TEST_CASE("fault 26: the memory cgroup is too small for the maps", "[faults][root]") {
    const Folder folder;
    if (const ControlGroup v1(Version::v1, "memory", folder.path()); v1.missing().empty()) {
        write_file(v1.file("memory.limit_in_bytes"), "80M");
        require_small_agent_in(
            v1, [&] { return std::stoull(read_file(v1.file("memory.kmem.max_usage_in_bytes"))); });
        return;
    }
    const ControlGroup group(Version::v2, "memory", folder.path());
    if (!group.missing().empty()) SKIP_TEST(group.missing());
    write_file(group.file("memory.max"), "80M");
    require_small_agent_in(group, [&] {
        std::istringstream stat(read_file(group.file("memory.stat")));
        uint64_t bytes = 0;
        // Maps of BPF are vmalloc's, percpu's and slab's; "kernel" is the sum from Linux 5.18 on.
        for (std::string name, value; stat >> name >> value;)
            if (name == "percpu" || name == "slab" || name == "vmalloc") bytes += std::stoull(value);
        return bytes;
    });
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
    const Folder folder;
    const ControlGroup group(Version::v1, "freezer", folder.path());
    if (!group.missing().empty()) SKIP_TEST(group.missing());
    require_goes_on_when_thawed(group, [&](bool frozen) {
        const std::string state = frozen ? "FROZEN" : "THAWED";
        write_file(group.file("freezer.state"), state);
        REQUIRE(
            eventually(seconds(10), [&] { return read_file(group.file("freezer.state")) == state + "\n"; }));
    });
}

TEST_CASE("fault 19: the agent is frozen by its cgroup of v2, and thawed", "[faults][root]") {
    const Folder folder;
    const ControlGroup group(Version::v2, "freezer", folder.path());
    if (!group.missing().empty()) SKIP_TEST(group.missing());
    require_goes_on_when_thawed(group, [&](bool frozen) {
        write_file(group.file("cgroup.freeze"), frozen ? "1" : "0");
        const std::string told = frozen ? "frozen 1" : "frozen 0";
        REQUIRE(eventually(seconds(10), [&] {
            return read_file(group.file("cgroup.events")).find(told) != std::string::npos;
        }));
    });
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
