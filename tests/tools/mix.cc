// SPDX-License-Identifier: Apache-2.0
//
// Makes connections in which nearly everything happens that ends one, in many short-lived processes and
// several network namespaces, and writes down what became of each: the truth that a record of it is compared
// with (tests/bench/mixed). Shares no code with the agent.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <deque>
#include <exception>
#include <map>
#include <stdexcept>
#include <thread>

#include "tests/tools/mixed/actors.h"

namespace mix {
namespace {

// A process that hangs is ended by the kernel.
constexpr unsigned longest_life_secs = 120;
constexpr uint16_t first_server_port = 2000;
constexpr uint16_t server_ports = 256;

using Clock = std::chrono::steady_clock;

struct Options {
    uint32_t lifecycles = 100000;
    uint32_t seed = 1;
    unsigned at_once = 6;
    double rate = 0;
    std::string oracle;
};

}  // namespace

pid_t spawn(const std::function<void()>& life) {
    const pid_t child = fork();
    if (child < 0) fail("fork");
    if (child > 0) return child;
    alarm(longest_life_secs);
    try {
        life();
        _exit(0);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "mix: process %d: %s\n", getpid(), error.what());
    }
    _exit(1);
}

void await(const std::vector<pid_t>& children) {
    bool failed = false;
    for (const pid_t child : children) {
        int status = 0;
        if (waitpid(child, &status, 0) != child) fail("waitpid");
        failed |= status != 0;
    }
    if (failed) throw std::runtime_error("a child failed");
}

namespace {

void run_group(const Scene& scene) {
    std::vector<pid_t> children;
    if (scene.group.established() > 0) {
        int ready[2];
        if (pipe2(ready, O_CLOEXEC) != 0) fail("pipe");
        children.push_back(spawn([&] { run_server(scene, ready[1]); }));
        close(ready[1]);
        char byte = 0;
        if (read(ready[0], &byte, 1) != 1) throw std::runtime_error("a server did not start");
        close(ready[0]);
    }
    const std::span<const Attempt> all = scene.group.attempts;
    const size_t each = (all.size() + scene.group.clients - 1) / scene.group.clients;
    for (unsigned i = 0; i * each < all.size(); i++) {
        const auto part = all.subspan(i * each, std::min(each, all.size() - i * each));
        children.push_back(spawn([&scene, i, part] {
            scene.group.waits ? run_waiting_client(scene, i, part) : run_client(scene, i, part);
        }));
    }
    await(children);
}

// Runs groups side by side, each in a child that forks the group's processes.
class Runner {
public:
    Runner(const Options& options, const World& world) : options_(options), world_(world) {
        for (uint16_t i = 0; i < server_ports; i++)
            ports_.push_back(static_cast<uint16_t>(first_server_port + i));
    }

    void start(const Group& group, uint32_t number) {
        keep_pace();
        started_ += group.attempts.size() + group.established();
        // Those that wait need no processor.
        while (ports_.empty() || (!group.waits && busy_ >= options_.at_once))
            reap();
        const uint16_t port = ports_.front();
        ports_.pop_front();
        const Scene scene = {
            .world = world_, .group = group, .number = number, .port = port, .oracle = options_.oracle};
        running_[spawn([&] { run_group(scene); })] = {.port = port, .waits = group.waits};
        if (!group.waits) busy_++;
    }

    void finish() {
        while (!running_.empty())
            reap();
    }

    unsigned failed() const { return failed_; }

private:
    struct Running {
        uint16_t port;
        bool waits;
    };

    void keep_pace() const {
        if (options_.rate <= 0) return;
        std::this_thread::sleep_until(
            begin_ + std::chrono::duration_cast<Clock::duration>(
                         std::chrono::duration<double>(static_cast<double>(started_) / options_.rate)));
    }

    void reap() {
        int status = 0;
        const pid_t child = wait(&status);
        if (child < 0) fail("wait");
        const auto at = running_.find(child);
        if (at == running_.end()) return;
        if (status != 0) failed_++;
        ports_.push_back(at->second.port);
        if (!at->second.waits) busy_--;
        running_.erase(at);
    }

    const Options& options_;
    const World& world_;
    std::deque<uint16_t> ports_;
    std::map<pid_t, Running> running_;
    Clock::time_point begin_ = Clock::now();
    uint64_t started_ = 0;  // lifecycles
    unsigned busy_ = 0;
    unsigned failed_ = 0;
};

int run(const Options& options) {
    const World world;
    Oracle::create(options.oracle);
    const std::vector<Group> plan = make_plan(options.lifecycles, options.seed);
    const auto start = Clock::now();
    Runner runner(options, world);
    for (uint32_t i = 0; i < plan.size(); i++)
        runner.start(plan[i], i);
    runner.finish();
    const std::chrono::duration<double> elapsed = Clock::now() - start;

    std::printf("{\"groups\":%zu,\"failed_groups\":%u,\"seconds\":%.3f,\"namespaces\":[", plan.size(),
                runner.failed(), elapsed.count());
    const char* separator = "";
    for (const Namespace& each : world.namespaces()) {
        const tests::Opens opens = World::read_opens(each);
        std::printf("%s{\"name\":\"%s\",\"inode\":%lu,\"active_opens\":%lu,\"passive_opens\":%lu}", separator,
                    each.name.c_str(), each.inode, opens.active, opens.passive);
        separator = ",";
    }
    std::printf("]}\n");
    std::fflush(stdout);
    // The namespaces stay until the caller has enough: the kernel gives their numbers to others then.
    for (char ignored = 0; read(STDIN_FILENO, &ignored, 1) > 0;)
        continue;
    return runner.failed() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace mix

int main(int argc, char** argv) {
    mix::Options options;
    CLI::App app(
        "Makes connections that end in many ways, in a network namespace of its own (unshare --net) and in "
        "others, and prints one line of JSON about them. Ends when its standard input does.");
    app.add_option("--lifecycles", options.lifecycles, "ends of connections, and failed attempts")
        ->check(CLI::Range(100, 100'000'000))
        ->capture_default_str();
    app.add_option("--seed", options.seed, "of the order of events")->capture_default_str();
    app.add_option("--at-once", options.at_once, "servers that are busy at a time")
        ->check(CLI::Range(1, 200))
        ->capture_default_str();
    app.add_option("--rate", options.rate, "lifecycles per second; 0: as fast as it goes");
    app.add_option("--oracle", options.oracle, "file that gets the truth, one line of CSV per lifecycle")
        ->required();
    CLI11_PARSE(app, argc, argv);
    try {
        return mix::run(options);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "mix: %s\n", error.what());
        return 1;
    }
}
