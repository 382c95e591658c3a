// SPDX-License-Identifier: Apache-2.0
//
// A processor that goes off and comes back under connections: fault 19. The processes that make them are
// told to run on it, and the agent too; the kernel moves them away each time.
//
// Only in the guests of tests/vm: the processors of another machine are not ours to switch off.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/kafka/process.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/observer.h"
#include "tests/kernel/scenes.h"

using namespace tcptrail::test;
using nlohmann::json;
using tests::eventually;
using tests::Process;
using tests::seconds;

namespace {

constexpr int the_other = 1;      // processor 0 cannot be switched off everywhere
constexpr seconds patience{300};  // a guest is slow, with one processor even more so
constexpr const char* not_ours = "it switches a processor off: only in a guest of tests/vm";

bool in_guest() {
    return std::getenv("TESTS_IN_GUEST") != nullptr;
}

int64_t now_ms() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1'000'000;
}

// Fails while the processor is off.
bool move_to(pid_t thread, int processor) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    return sched_setaffinity(thread, sizeof one, &one) == 0;
}

// Processor 1, which is on again however the test ends.
class Processor {
public:
    ~Processor() { (void)write_state("1"); }
    Processor() = default;
    Processor(const Processor&) = delete;
    Processor& operator=(const Processor&) = delete;

    void turn(bool on) {
        const int error = write_state(on ? "1" : "0");
        INFO("processor 1 " << (on ? "on" : "off") << ": " << std::strerror(error));
        REQUIRE(error == 0);
        REQUIRE(sysconf(_SC_NPROCESSORS_ONLN) == (on ? 2 : 1));
    }

private:
    static int write_state(const char* state) {
        const int fd = open("/sys/devices/system/cpu/cpu1/online", O_WRONLY | O_CLOEXEC);
        if (fd < 0) return errno;
        const int error = write(fd, state, 1) == 1 ? 0 : errno;
        close(fd);
        return error;
    }
};

struct Made {
    int connections;
    int on_the_other;  // of these
    int error;
};

// Makes connections until then, both ends in this process, each on the processor if that is on.
Made connect_until(int64_t end_ms, int processor) {
    Made made{};
    const int listener = listen_on(endpoint("127.0.0.1", 0));
    if (listener < 0) return {0, 0, listener};
    const Endpoint at = local_end(listener);
    while (now_ms() < end_ms && made.error == 0) {
        (void)move_to(0, processor);
        const int client = connect_to(at);
        const int server = client < 0 ? client : accept_one(listener);
        if (server < 0) {
            made.error = server;
            break;
        }
        made.error = send_bytes(client, 100);
        if (made.error == 0) made.error = receive_bytes(server, 100);
        close(client);
        close(server);
        ++made.connections;
        if (sched_getcpu() == the_other) ++made.on_the_other;
    }
    close(listener);
    return made;
}

// An agent with a spool, whose Kafka does not answer: what it told is on the disk.
class Agent {
public:
    Agent()
        : process_({binary(), "run", "--set", "kafka.brokers=127.0.0.1:1", "--set",
                    "spool.directory=" + spool(), "--set", "capture.pin=", "--set", "serve.socket=", "--set",
                    "report.interval_secs=1"}) {
        REQUIRE(eventually(patience,
                           [&] { return process_.errors().find("sending to Kafka") != std::string::npos; }));
    }

    // All of its threads.
    void move_to_the_other() const {
        const auto threads = "/proc/" + std::to_string(process_.pid()) + "/task";
        for (const auto& thread : std::filesystem::directory_iterator(threads))
            CHECK((move_to(std::stoi(thread.path().filename()), the_other) || errno == ESRCH));
    }

    void stop() {
        process_.signal(SIGTERM);
        const int status = process_.wait(patience);
        INFO(process_.errors());
        REQUIRE(status == 0);
    }

    // All that it told, when it has ended.
    std::vector<json> told() const {
        const auto exported = tests::run({binary(), "spool", "export", "--directory", spool()}, patience);
        INFO(exported.errors);
        REQUIRE(exported.status == 0);
        std::vector<json> messages;
        std::istringstream lines(exported.output);
        for (std::string line; std::getline(lines, line);)
            messages.push_back(json::parse(line));
        return messages;
    }

private:
    std::string spool() const { return folder_.path() / "spool"; }

    tests::Folder folder_;
    Process process_;
};

uint64_t number(const json& message, const char* field) {
    return std::stoull(message.value(field, "0"));
}

// What one test's connections were: the ends that each process had.
struct Owner {
    const Actor* process;
    uint64_t ends;
};

// Everything that they made is told once, by its owner, whole; the account of each report holds, and nothing
// is lost.
void check_told(const std::vector<json>& told, const Netns& net, const std::vector<Owner>& owners) {
    std::set<uint64_t> numbers;
    std::set<std::string> ids;
    std::map<uint64_t, uint64_t> ends;
    uint64_t expected = 0, partial = 0, reports = 0, seen = 0, lost = 0;
    for (const json& message : told) {
        if (!message.contains("connection_id")) {
            INFO(message.dump());
            ++reports;
            CHECK(!message.contains("audit_violations"));
            CHECK(message.value("audit_violated", 0U) == 0);
            for (const json& stage : message.at("stages")) {
                uint64_t accounted = number(stage, "out") + number(stage, "held");
                for (const json& loss : stage.value("lost", json::array())) {
                    accounted += number(loss, "count");
                    lost += number(loss, "count");
                }
                CHECK(number(stage, "in") == accounted);
                if (stage.at("name") == "capture") seen = std::max(seen, number(stage, "in"));
            }
            continue;
        }
        CHECK(numbers.insert(number(message, "sequence")).second);
        if (message.value("netns", 0U) != net.inode()) continue;
        CHECK(message.at("kind") == "EVENT_KIND_CLOSED");
        ids.insert(message.at("connection_id"));
        ++ends[message.value("process", json::object()).value("pid", 0U)];
        if (message.contains("partial")) ++partial;
    }
    for (const Owner& owner : owners) {
        INFO(owner.process->name());
        CHECK(ends[static_cast<uint64_t>(owner.process->pid())] == owner.ends);
        expected += owner.ends;
    }
    // The same by the kernel's count.
    CHECK(net.tcp_counter("ActiveOpens") + net.tcp_counter("PassiveOpens") == expected);
    CHECK(ids.size() == expected);
    CHECK(partial == 0);
    CHECK(lost == 0);
    CHECK(seen >= expected);
    CHECK(numbers.size() == seen);
    CHECK(*numbers.rbegin() == numbers.size());
    CHECK(reports >= 2);
    WARN("seen " << seen << ", told " << numbers.size() << ", lost " << lost << "; of this test "
                 << ids.size());
}

}  // namespace

TEST_CASE("fault 19: a processor goes off and on again under connections", "[.guest]") {
    if (!in_guest()) SKIP_TEST(not_ours);
    constexpr int load_ms = 10'000, each_ms = 200, each = 20;
    Processor processor;
    processor.turn(true);
    Agent agent;
    Netns net;
    Actor there(net, "on-the-other"), here(net, "on-the-first");
    Actor server(net, "burst-server"), client(net, "burst-client");
    // One that is open all the time.
    const Connection open = establish(client, server, loopback(AF_INET));

    const int64_t end_ms = now_ms() + load_ms;
    there.start([=] { return connect_until(end_ms, the_other); });
    here.start([=] { return connect_until(end_ms, 0); });
    uint64_t rounds = 0;
    // A round takes a second in a slow guest.
    while (now_ms() < end_ms - 10 * each_ms) {
        agent.move_to_the_other();
        for (const pid_t pid : {server.pid(), client.pid()})
            CHECK(move_to(pid, the_other));
        sleep_ms(each_ms);
        processor.turn(false);
        burst(client, server, each);
        exchange(client, server, open, 100, 200);
        sleep_ms(each_ms);
        processor.turn(true);
        ++rounds;
    }
    CHECK(now_ms() < end_ms);
    const Made of_there = there.finish<Made>(), of_here = here.finish<Made>();
    close_socket(client, open.client_fd);
    close_after_peer(server, open.server_fd);
    agent.stop();
    const auto told = agent.told();

    WARN(rounds << " times off and on; made there " << of_there.connections << ", of these on it "
                << of_there.on_the_other << "; on the other one " << of_here.connections);
    CHECK(rounds >= 5);
    CHECK(of_there.error == 0);
    CHECK(of_here.error == 0);
    // It was used, and it was off.
    CHECK(of_there.on_the_other > 0);
    CHECK(of_there.on_the_other < of_there.connections);
    const uint64_t of_bursts = rounds * each + 1;
    check_told(told, net,
               {{&there, 2UL * static_cast<uint64_t>(of_there.connections)},
                {&here, 2UL * static_cast<uint64_t>(of_here.connections)},
                {&client, of_bursts},
                {&server, of_bursts}});
    const auto held = std::ranges::find_if(told, [&](const json& message) {
        return message.value("netns", 0U) == net.inode() && number(message, "bytes_sent") == rounds * 100 &&
               number(message, "bytes_received") == rounds * 200;
    });
    CHECK(held != told.end());
}

// Whoever counts the processors when it starts sees one of two.
TEST_CASE("fault 19: a processor comes after the agent has started", "[.guest]") {
    if (!in_guest()) SKIP_TEST(not_ours);
    constexpr int load_ms = 1500;
    Processor processor;
    processor.turn(false);
    Agent agent;
    Netns net;
    Actor there(net, "on-the-other");
    const auto load = [&] {
        const int64_t end_ms = now_ms() + load_ms;
        return there.call([=] { return connect_until(end_ms, the_other); });
    };
    const Made before = load();
    processor.turn(true);
    const Made after = load();
    // And goes before it ends: what was counted there counts.
    processor.turn(false);
    agent.stop();
    processor.turn(true);
    const auto told = agent.told();
    WARN("made before " << before.connections << ", then " << after.connections << ", of these on it "
                        << after.on_the_other);
    CHECK(before.error == 0);
    CHECK(before.on_the_other == 0);
    CHECK(after.error == 0);
    CHECK(after.on_the_other > 0);
    check_told(told, net, {{&there, 2UL * static_cast<uint64_t>(before.connections + after.connections)}});
}
