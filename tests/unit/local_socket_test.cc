// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/local_socket.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch.h"
#include "tests/kafka/process.h"

using namespace tcptrail;
using namespace std::chrono_literals;
using serve::LocalSocket;

namespace {

// A server on a thread of its own, as the capture thread is.
class Server {
public:
    explicit Server(const std::string& path, LocalSocket::Answer answer) {
        auto created = EventLoop::create();
        REQUIRE(created);
        loop_ = std::make_unique<EventLoop>(std::move(*created));
        auto opened = LocalSocket::open(path, std::move(answer));
        INFO((opened ? "" : opened.error().message));
        REQUIRE(opened);
        socket_ = std::move(*opened);
        REQUIRE(socket_->serve_in(*loop_));
        REQUIRE(loop_->every(10ms, [this] {
            ++ticks_;
            if (stopping_) loop_->stop();
        }));
        thread_ = std::thread([this] { (void)loop_->run(); });
    }
    ~Server() {
        stopping_ = true;
        thread_.join();
    }

    // How often the loop came to its other work.
    uint64_t ticks() const { return ticks_; }

private:
    std::unique_ptr<EventLoop> loop_;
    std::unique_ptr<LocalSocket> socket_;
    std::atomic<bool> stopping_ = false;
    std::atomic<uint64_t> ticks_ = 0;
    std::thread thread_;
};

Fd connect_to(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fd.reset();
    return fd;
}

// All there is to read, until the end.
std::string rest_of(int fd) {
    std::string text;
    char buffer[65536];
    for (ssize_t got = 0; (got = recv(fd, buffer, sizeof buffer, 0)) > 0;)
        text.append(buffer, static_cast<size_t>(got));
    return text;
}

std::string refusal(const std::string& path) {
    const auto opened = LocalSocket::open(path, [] { return std::string(); });
    return opened ? "" : opened.error().message;
}

}  // namespace

TEST_CASE("local socket: who asks gets the answer of the moment") {
    const tests::Folder folder;
    const std::string path = folder.path() / "below" / "agent.sock";
    {
        int asked = 0;
        const Server server(path, [&] { return "answer " + std::to_string(++asked); });
        CHECK(serve::ask(path, 5s).value_or("") == "answer 1");
        CHECK(serve::ask(path, 5s).value_or("") == "answer 2");
        struct stat status{};
        REQUIRE(stat(path.c_str(), &status) == 0);
        CHECK((status.st_mode & 07777) == 0660);
    }
    CHECK_FALSE(std::filesystem::exists(path));
    const auto nobody = serve::ask(path, 5s);
    REQUIRE_FALSE(nobody);
    CHECK(nobody.error().code == ExitCode::unavailable);
}

TEST_CASE("local socket: an answer that is larger than the socket's buffer") {
    const tests::Folder folder;
    const std::string path = folder.path() / "agent.sock";
    const std::string large(20'000'000, 'x');
    const Server server(path, [&] { return large; });
    CHECK(serve::ask(path, 20s).value_or("") == large);
}

TEST_CASE("local socket: slow readers hold nobody up, and are dropped") {
    const tests::Folder folder;
    const std::string path = folder.path() / "agent.sock";
    const std::string large(2'000'000, 'x');
    const Server server(path, [&] { return large; });
    // More than have a place.
    std::vector<Fd> slow;
    for (size_t i = 0; i < 2 * LocalSocket::most_clients; ++i)
        slow.push_back(connect_to(path));
    const uint64_t before = server.ticks();
    CHECK(serve::ask(path, 5s).value_or("") == large);
    REQUIRE(tests::eventually(tests::seconds(5), [&] { return server.ticks() > before + 10; }));
    // The oldest had to go for it: what was in its buffer is all it gets.
    CHECK(rest_of(slow.front().get()).size() < large.size());
    // The youngest waited; now it goes on, and gets all.
    CHECK(rest_of(slow.back().get()).size() == large.size());
    // The one before takes nothing for longer than the agent's patience.
    std::this_thread::sleep_for(std::chrono::nanoseconds(LocalSocket::patience_ns) + 1500ms);
    CHECK(rest_of(slow[slow.size() - 2].get()).size() < large.size());
}

TEST_CASE("local socket: a live one is left alone, one that was left behind is replaced") {
    const tests::Folder folder;
    const std::string path = folder.path() / "agent.sock";
    {
        const Server server(path, [] { return std::string("the first"); });
        CHECK(refusal(path) == path + " is another agent's, which runs: each needs a path of its own");
        CHECK(serve::ask(path, 5s).value_or("") == "the first");
    }
    // As a process that is killed leaves it.
    {
        const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        REQUIRE(listen(fd.get(), 1) == 0);
    }
    const auto nobody = serve::ask(path, 5s);
    REQUIRE_FALSE(nobody);
    CHECK(nobody.error().code == ExitCode::unavailable);
    const Server server(path, [] { return std::string("the second"); });
    CHECK(serve::ask(path, 5s).value_or("") == "the second");
}

TEST_CASE("local socket: what is no socket, and what cannot be made") {
    const tests::Folder folder;
    const std::string path = folder.path() / "agent.sock";
    std::ofstream(path) << "precious";
    CHECK(refusal(path) == path + " is no socket: remove it, or set another path");
    CHECK(std::filesystem::file_size(path) == 8);
    CHECK_FALSE(refusal(path + "/below/agent.sock").empty());
    const std::string long_one = folder.path() / std::string(120, 'x');
    CHECK(refusal(long_one) == long_one + " is too long for the name of a socket");
    const auto answer = serve::ask(long_one, 1s);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == ExitCode::usage);
}

TEST_CASE("local socket: what somebody else put in its place stays") {
    const tests::Folder folder;
    const std::string path = folder.path() / "agent.sock";
    {
        const Server server(path, [] { return std::string(); });
        std::filesystem::remove(path);
        std::ofstream(path) << "precious";
    }
    CHECK(std::filesystem::exists(path));
}

TEST_CASE("local socket: an agent without descriptors does not turn in circles") {
    const tests::Folder folder;
    const std::string path = folder.path() / "agent.sock";
    int asked = 0;
    const Server server(path, [&] { return "answer " + std::to_string(++asked); });
    const Fd waiting(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    rlimit limit{};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const rlimit none{4, limit.rlim_max};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    const int connected = connect(waiting.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    rusage before{}, after{};
    getrusage(RUSAGE_SELF, &before);
    std::this_thread::sleep_for(700ms);
    getrusage(RUSAGE_SELF, &after);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    REQUIRE(connected == 0);
    const auto us = [](const timeval& time) { return time.tv_sec * 1'000'000 + time.tv_usec; };
    CHECK(us(after.ru_utime) + us(after.ru_stime) - us(before.ru_utime) - us(before.ru_stime) < 350'000);
    CHECK(rest_of(waiting.get()) == "answer 1");
}

TEST_CASE("local socket: an agent that stands still is no answer") {
    const tests::Folder folder;
    const std::string path = folder.path() / "agent.sock";
    const auto opened = LocalSocket::open(path, [] { return std::string("never"); });
    REQUIRE(opened);
    const auto answer = serve::ask(path, 200ms);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == ExitCode::failure);
    CHECK(answer.error().message == "the agent at " + path + " does not answer; if that lasts, restart it");
}
