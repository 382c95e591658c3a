// SPDX-License-Identifier: Apache-2.0
//
// SIGHUP: another configuration is taken up, or the one in force stays; and what a service manager hears.
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "agent/base/fd.h"
#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"
#include "tests/faults/foreign_call.h"
#include "tests/faults/pins.h"

using namespace tests;

namespace {

void write_file(const std::string& path, const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
}

std::vector<std::string> with_file(std::vector<std::string> command, const std::string& path) {
    command.insert(command.end(), {"--config", path});
    return command;
}

bool says(const Process& agent, const std::string& words, size_t times = 1) {
    return eventually(seconds(30), [&] {
        const std::string errors = agent.errors();
        size_t found = 0;
        for (size_t at = errors.find(words); at != std::string::npos; at = errors.find(words, at + 1))
            ++found;
        return found >= times;
    });
}

size_t descriptors_of(const Process& agent) {
    const std::filesystem::directory_iterator all("/proc/" + std::to_string(agent.pid()) + "/fd");
    return static_cast<size_t>(std::distance(begin(all), end(all)));
}

// Hears what agents tell that begin while it lives, as systemd does.
class Manager {
public:
    explicit Manager(const std::filesystem::path& folder)
        : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
        const std::string path = folder / "notify";
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        setenv("NOTIFY_SOCKET", path.c_str(), 1);
        setenv("WATCHDOG_USEC", "1000000", 1);
    }
    ~Manager() {
        unsetenv("NOTIFY_SOCKET");
        unsetenv("WATCHDOG_USEC");
    }
    Manager(const Manager&) = delete;
    Manager& operator=(const Manager&) = delete;

    // What is told from here on, or was since it heard the last.
    bool hears(const std::string& words, seconds limit = seconds(30)) {
        return eventually(limit, [&] {
            take();
            const size_t at = heard_.find(words);
            if (at != std::string::npos) heard_.erase(0, at + words.size());
            return at != std::string::npos;
        });
    }
    void forget() {
        take();
        heard_.clear();
    }

private:
    void take() {
        std::array<char, 4096> buffer{};
        for (ssize_t got; (got = recv(fd_.get(), buffer.data(), buffer.size(), 0)) > 0;)
            heard_ += std::string(buffer.data(), static_cast<size_t>(got)) + "\n";
    }

    std::string heard_;
    tcptrail::Fd fd_;
};

}  // namespace

TEST_CASE("reload: another configuration under load, nothing lost", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    const BpfFs bpffs(setting.folder());
    const std::string path = setting.folder() / "tcptrail.yaml";
    write_file(path, "node: first\n");
    Process agent(with_file(setting.agent(brokers(), {bpffs.setting()}), path));
    REQUIRE(is_tracing(agent));
    Truth truth{};
    {
        Process load(generator(6000, 1000));
        std::this_thread::sleep_for(seconds(1));
        const size_t open = descriptors_of(agent);
        for (size_t round = 1; round <= 3; ++round) {
            write_file(path, "node: number-" + std::to_string(round) + "\n");
            agent.signal(SIGHUP);
            REQUIRE(says(agent, "tracing the TCP connections", round + 1));
        }
        // Of the links of agents before none is held: their programs would go on to run, too.
        CHECK(eventually(seconds(10), [&] { return descriptors_of(agent) <= open + 4; }));
        const int status = load.wait(seconds(60));
        truth = truth_of({status, load.output(), load.errors()});
    }
    require_delivered(setting, 2 * truth.connections);
    require_stops(agent);
    CHECK(detach(bpffs).status == 0);
    CHECK(require_audit(setting, {truth}).lost == 0);
    require_complete(setting, truth);
    const Finished consumed = setting.consume();
    CHECK(verdict_of(consumed).runs == 1);
    CHECK(verdict_of(consumed).holes == 0);
    CHECK(consumed.output.find("\"first\"") != std::string::npos);
    CHECK(consumed.output.find("\"number-3\"") != std::string::npos);
    CHECK(setting.reports().back().value("starts", 0U) == 4);
}

#ifdef __x86_64__
TEST_CASE("fault 57: files that have links' numbers by now outlive a reload", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    const BpfFs bpffs(setting.folder());
    Process agent(setting.agent(brokers(), {bpffs.setting()}));
    REQUIRE(is_tracing(agent));
    const auto taken = take_links(agent.pid());
    REQUIRE(taken.size() >= 5);
    REQUIRE(says(agent, "tracing the TCP connections", 2));
    const auto file_of = [&](int fd) {
        const auto number = "/proc/" + std::to_string(agent.pid()) + "/fd/" + std::to_string(fd);
        std::error_code gone;
        return std::filesystem::read_symlink(number, gone).string();
    };
    for (const int fd : taken)
        CHECK(file_of(fd) == file_of(STDERR_FILENO));
    const Truth truth = truth_of(run(generator(300)));
    std::this_thread::sleep_for(seconds(2));
    require_stops(agent);
    CHECK(detach(bpffs).status == 0);
    CHECK(require_audit(setting, {truth}).lost == 0);
}
#endif

TEST_CASE("fault 57: SIGHUP with a file that is wrong, and with one that does not work", "[faults][root]") {
    const Setting setting;
    const std::string path = setting.folder() / "tcptrail.yaml";
    write_file(path, "node: good\n");
    Process agent(with_file(setting.agent(nobody_answers), path));
    REQUIRE(is_tracing(agent));
    write_file(path, "node: good\nspol: {}\n");
    agent.signal(SIGHUP);
    REQUIRE(says(agent, "not reloaded, the configuration in force stays: " + path + ":2: unknown key"));
    CHECK(says(agent, "tracing the TCP connections", 1));
    CHECK(setting.status().status != 69);

    write_file(path, "capture:\n  btf: /none\n");
    agent.signal(SIGHUP);
    REQUIRE(says(agent, "the new configuration does not work, the one before it is in force again: "));
    REQUIRE(says(agent, "tracing the TCP connections", 2));
    REQUIRE(eventually(seconds(10), [&] { return setting.status().status != 69; }));
    write_file(path, "node: better\n");
    agent.signal(SIGHUP);
    REQUIRE(says(agent, "tracing the TCP connections", 3));
    require_stops(agent);
}

// As when a process with many connections dies.
TEST_CASE("fault 63: who reads a ring that has overflowed comes before others, after a reload, too",
          "[faults][root]") {
    const Setting setting;
    const std::string path = setting.folder() / "tcptrail.yaml";
    const std::string small = "capture: {ring_bytes: 65536, priority_boost: ";
    write_file(path, small + "15}\n");
    Process agent(with_file(setting.agent(nobody_answers), path));
    REQUIRE(is_tracing(agent));
    const int ours = getpriority(PRIO_PROCESS, 0);
    // By how many steps its threads that are raised are.
    const auto raised = [&] {
        std::vector<int> steps;
        for (const auto& thread :
             std::filesystem::directory_iterator("/proc/" + std::to_string(agent.pid()) + "/task")) {
            const int step = ours - getpriority(PRIO_PROCESS, std::stoi(thread.path().filename()));
            if (step != 0) steps.push_back(step);
        }
        return steps;
    };
    // The most that was seen while it takes up what came when it stood still.
    const auto raised_by_a_burst = [&] {
        CHECK(raised().empty());
        agent.signal(SIGSTOP);
        run(generator(10000));
        agent.signal(SIGCONT);
        int most = 0;
        for (const auto until = std::chrono::steady_clock::now() + seconds(1);
             std::chrono::steady_clock::now() < until;) {
            const auto steps = raised();
            CHECK(steps.size() <= 1);
            for (const int step : steps)
                most = std::max(most, step);
        }
        CHECK(eventually(seconds(10), [&] { return raised().empty(); }));
        return most;
    };
    CHECK(raised_by_a_burst() == 15);
    const auto reload = [&](size_t round) {
        agent.signal(SIGHUP);
        REQUIRE(says(agent, "tracing the TCP connections", round + 1));
    };
    reload(1);
    CHECK(raised_by_a_burst() == 15);
    write_file(path, small + "0}\n");
    reload(2);
    CHECK(raised_by_a_burst() == 0);
    require_stops(agent);
}

TEST_CASE("service: an agent feeds the watchdog while it drains, and tells when it reloads",
          "[faults][root]") {
    const Setting setting;
    Manager manager(setting.folder());
    Process agent(setting.agent(nobody_answers));
    REQUIRE(manager.hears("READY=1\nSTATUS=tracing"));
    for (int i = 0; i < 3; ++i)
        CHECK(manager.hears("WATCHDOG=1", seconds(5)));
    agent.signal(SIGSTOP);
    std::this_thread::sleep_for(seconds(1));
    manager.forget();
    CHECK_FALSE(manager.hears("WATCHDOG=1", seconds(2)));
    agent.signal(SIGCONT);
    CHECK(manager.hears("WATCHDOG=1", seconds(5)));
    agent.signal(SIGHUP);
    CHECK(manager.hears("RELOADING=1"));
    CHECK(manager.hears("READY=1"));
    CHECK(manager.hears("WATCHDOG=1", seconds(5)));
    agent.signal(SIGTERM);
    CHECK(manager.hears("STOPPING=1"));
    CHECK(agent.wait(seconds(20)) == 0);
}
