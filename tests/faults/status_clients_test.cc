// SPDX-License-Identifier: Apache-2.0
//
// Clients of the status socket that do not do as they should, and a path that is taken: fault 64. What the
// agent delivers is the same.
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/fd.h"
#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"

using namespace tests;
using namespace std::chrono_literals;
using nlohmann::json;
using tcptrail::Fd;

namespace {

namespace fs = std::filesystem;

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
}

// Waits until there is room in the queue of the agent.
Fd connect_to(const std::string& path) {
    const sockaddr_un address = address_of(path);
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fd.reset();
    return fd;
}

Fd listen_at(const std::string& path) {
    const sockaddr_un address = address_of(path);
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(fd.get(), 16) == 0);
    return fd;
}

// False: the end.
bool take_byte(int fd) {
    char byte = 0;
    return recv(fd, &byte, 1, 0) == 1;
}

// What an agent has open and resident, at the most, since the last question.
class Watch {
public:
    explicit Watch(pid_t pid)
        : folder_("/proc/" + std::to_string(pid)), thread_([this](const std::stop_token& stop) {
              for (; !stop.stop_requested(); std::this_thread::sleep_for(5ms)) {
                  std::error_code ignored;
                  const auto open = std::distance(fs::directory_iterator(folder_ + "/fd", ignored), {});
                  descriptors_ = std::max<long>(descriptors_, open);
                  long all = 0, resident = 0;
                  std::ifstream(folder_ + "/statm") >> all >> resident;
                  resident_kb_ = std::max(resident_kb_.load(), resident * sysconf(_SC_PAGESIZE) / 1024);
              }
          }) {}

    struct Most {
        long descriptors, resident_kb;
    };
    Most take() { return {descriptors_.exchange(0), resident_kb_.exchange(0)}; }

private:
    std::string folder_;
    std::atomic<long> descriptors_ = 0, resident_kb_ = 0;
    std::jthread thread_;
};

// Clients of all bad kinds, as long as it lives.
class Crowd {
public:
    explicit Crowd(const std::string& path) : path_(path) {
        for (int i = 0; i < 16; ++i)
            start([this](auto& stop) { stay(stop); });
        for (int i = 0; i < 8; ++i)
            start([this](auto& stop) { read_slowly(stop); });
        start([this](auto& stop) { send_much(stop); });
        start([this](auto& stop) { leave_midway(stop); });
    }
    Crowd(const Crowd&) = delete;
    Crowd& operator=(const Crowd&) = delete;

    void end() { threads_.clear(); }

    std::atomic<int> idle = 0, slow = 0, left = 0;
    std::atomic<size_t> requests = 0, most_sent = 0;

private:
    template <class Act>
    void start(Act act) {
        threads_.emplace_back([act](const std::stop_token& stop) { act(stop); });
    }

    // 25 in each thread, that neither send nor read.
    void stay(const std::stop_token& stop) {
        std::vector<Fd> held;
        while (!stop.stop_requested()) {
            if (held.size() < 25) {
                held.push_back(connect_to(path_));
                if (held.back().valid()) ++idle;
            } else {
                std::this_thread::sleep_for(20ms);
            }
        }
    }

    void read_slowly(const std::stop_token& stop) {
        const Fd fd = connect_to(path_);
        while (!stop.stop_requested() && take_byte(fd.get())) {
            ++slow;
            std::this_thread::sleep_for(10ms);
        }
    }

    // A request, which nobody reads, of as much as goes.
    void send_much(const std::stop_token& stop) {
        const std::string piece(1 << 16, 'x');
        while (!stop.stop_requested()) {
            const Fd fd = connect_to(path_);
            size_t sent = 0;
            for (ssize_t n = 0; !stop.stop_requested() && sent < 1 << 30; sent += static_cast<size_t>(n))
                if ((n = send(fd.get(), piece.data(), piece.size(), MSG_NOSIGNAL)) <= 0) break;
            most_sent = std::max(most_sent.load(), sent);
            ++requests;
        }
    }

    // At once; after a byte; deaf.
    void leave_midway(const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            const Fd fd = connect_to(path_);
            if (left % 3 == 1) take_byte(fd.get());
            if (left % 3 == 2) shutdown(fd.get(), SHUT_RD);
            ++left;
        }
    }

    std::string path_;
    std::vector<std::jthread> threads_;
};

bool can_be_asked(const Setting& setting) {
    return eventually(seconds(10), [&] { return setting.status().status == 0; });
}

// The run of the agent that answers; empty: none does.
std::string run_at(const Setting& setting) {
    const Finished told = setting.status("json");
    return json::accept(told.output) ? json::parse(told.output).value("run_id", "") : "";
}

// Another run than this one answers, healthy or not.
bool can_be_asked_of_run(const Setting& setting, const std::string& before) {
    return eventually(seconds(10), [&] {
        const std::string now = run_at(setting);
        return !now.empty() && now != before;
    });
}

}  // namespace

TEST_CASE("fault 64: clients of the status socket that do not behave", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    // The ring holds what comes in half a second: who holds the capture up for longer makes it lose.
    Process agent(setting.agent(brokers(), {"capture.ring_bytes=1MiB"}));
    REQUIRE(is_tracing(agent));
    REQUIRE(can_be_asked(setting));
    Process load(generator(8000, 2000));
    Watch watch(agent.pid());
    std::this_thread::sleep_for(1s);
    const Watch::Most before = watch.take();
    Crowd crowd(setting.socket());
    int asked = 0, answered = 0;
    for (const auto until = std::chrono::steady_clock::now() + 2s;
         std::chrono::steady_clock::now() < until;) {
        ++asked;
        if (setting.status().status == 0) ++answered;
    }
    const Watch::Most meanwhile = watch.take();
    crowd.end();
    CHECK(can_be_asked(setting));
    REQUIRE(load.wait(seconds(60)) == 0);
    const Truth truth = truth_of({0, load.output(), load.errors()});
    require_delivered(setting, 2 * truth.connections);
    require_stops(agent);

    std::printf(
        "%d idle, %d bytes read slowly, %lu requests of up to %lu bytes, %d left midway; asked %d times, "
        "answered %d; descriptors %ld, then %ld; resident %ld kB, then %ld\n",
        crowd.idle.load(), crowd.slow.load(), crowd.requests.load(), crowd.most_sent.load(),
        crowd.left.load(), asked, answered, before.descriptors, meanwhile.descriptors, before.resident_kb,
        meanwhile.resident_kb);
    CHECK(crowd.idle == 400);
    CHECK(crowd.slow > 100);
    CHECK(crowd.left > 100);
    CHECK(crowd.requests > 10);
    CHECK(crowd.most_sent < 1 << 20);
    CHECK(asked == answered);
    // Eight clients, the ninth, and what spool and librdkafka open meanwhile.
    CHECK(meanwhile.descriptors <= before.descriptors + 16);
    CHECK(meanwhile.resident_kb < before.resident_kb + (32 << 10));
    CHECK(require_audit(setting, {truth}).lost == 0);
}

TEST_CASE("fault 64: the path of the status socket is taken", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    const fs::path path = setting.socket();
    std::vector<Truth> truths;
    // An agent traces though it cannot serve, and leaves alone what is there.
    const auto is_left_alone = [&](const std::string& words) {
        INFO(words);
        struct stat before{}, after{};
        REQUIRE(lstat(path.c_str(), &before) == 0);
        Process agent(setting.agent());
        REQUIRE(is_tracing(agent));
        CHECK(eventually(seconds(10), [&] {
            return agent.errors().find("(serve.socket): " + path.string() + words) != std::string::npos;
        }));
        truths.push_back(truth_of(run(generator(100))));
        REQUIRE(lstat(path.c_str(), &after) == 0);
        CHECK(before.st_ino == after.st_ino);
        CHECK(before.st_mode == after.st_mode);
        require_stops(agent);
        CHECK(fs::remove(path));
    };
    {
        std::ofstream(path) << "precious";
        is_left_alone(" is no socket");
    }
    {
        fs::create_directory(path);
        is_left_alone(" is no socket");
    }
    {
        const std::string other = setting.folder() / "other";
        const Fd listener = listen_at(other);
        fs::create_symlink(other, path);
        is_left_alone(" is no socket");
        CHECK(connect_to(other).valid());
    }
    {
        const Fd listener = listen_at(path);
        is_left_alone(" is another program's, which runs");
    }
    Process agent(setting.agent());
    CHECK(can_be_asked(setting));
    require_stops(agent);
    CHECK(require_audit(setting, truths).lost == 0);
}

// The one that came second does without; the one after them replaces what the first one left.
TEST_CASE("fault 64: the path of the status socket is another agent's, which is killed", "[faults][root]") {
    Broker::shared();
    const Setting setting, others;
    setting.create_topics();
    Process other(others.agent(nobody_answers, {"serve.socket=" + setting.socket()}));
    REQUIRE(is_tracing(other));
    REQUIRE(can_be_asked_of_run(setting, ""));
    const std::string first = run_at(setting);
    std::vector<Truth> truths;
    {
        Process second(setting.agent());
        REQUIRE(is_tracing(second));
        CHECK(eventually(seconds(10), [&] {
            return second.errors().find(setting.socket() + " is another agent's, which runs") !=
                   std::string::npos;
        }));
        truths.push_back(truth_of(run(generator(200))));
        require_stops(second);
    }
    CHECK(run_at(setting) == first);
    other.signal(SIGKILL);
    CHECK(other.wait(seconds(10)) == 128 + SIGKILL);
    CHECK(fs::exists(setting.socket()));
    CHECK(setting.status().status == 69);
    Process third(setting.agent());
    CHECK(can_be_asked_of_run(setting, first));
    truths.push_back(truth_of(run(generator(200))));
    require_stops(third);
    CHECK_FALSE(fs::exists(setting.socket()));
    CHECK(require_audit(setting, truths).lost == 0);
}
