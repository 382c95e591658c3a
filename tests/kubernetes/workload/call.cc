// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>

#include "tests/kubernetes/workload/modes.h"
#include "tests/kubernetes/workload/oracle.h"

namespace workload {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int connect_limit_ms = 2000;

std::atomic<uint64_t> established = 0, failed = 0;

const char* outcome_of(int error) {
    switch (error) {
        case ECONNREFUSED:
            return "REFUSED";
        case ETIMEDOUT:
            return "ABANDONED";  // our own limit is shorter than the kernel's
        case EHOSTUNREACH:
            return "HOST_UNREACHABLE";
        case ENETUNREACH:
            return "NETWORK_UNREACHABLE";
        case EADDRNOTAVAIL:
            return "NO_LOCAL_PORT";
        default:
            return "OTHER";
    }
}

void set_local(int fd, Line& line) {
    socklen_t size = sizeof line.local;
    getsockname(fd, reinterpret_cast<sockaddr*>(&line.local), &size);
}

// The kernel forgets the local end of an attempt that failed. One that is meant to is bound before, to the
// address that its way has.
void bind_first(int fd, Line& line) {
    const int way = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    connect(way, reinterpret_cast<const sockaddr*>(&line.remote), sizeof line.remote);
    set_local(way, line);
    close(way);
    line.local.sin_port = 0;
    if (bind(fd, reinterpret_cast<sockaddr*>(&line.local), sizeof line.local) != 0) fail("bind");
    set_local(fd, line);
}

// errno of the attempt.
int try_connect(int fd, const sockaddr_in& to) {
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) return 0;
    if (errno != EINPROGRESS) return errno;
    pollfd ready{fd, POLLOUT, 0};
    if (poll(&ready, 1, connect_limit_ms) <= 0) return ETIMEDOUT;
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
}

void end_by_peer(Line& line) {
    line.error = errno;
    line.end = errno == 0                              ? "REMOTE_CLOSE"
               : errno == ECONNRESET || errno == EPIPE ? "REMOTE_RESET"
                                                       : "LOCAL_CLOSE";
}

// Asks for the plan and does the caller's part of it. true: `answer` is the server's address.
bool converse(int fd, Line& line, char* answer) {
    char byte = line.plan;
    if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || read_all(fd, answer, answer_size) != answer_size) {
        end_by_peer(line);
        close(fd);
        return false;
    }
    switch (line.plan) {
        case 'c':
            line.end = "LOCAL_CLOSE";
            break;
        case 'r':
            line.end = "LOCAL_RESET";
            reset(fd);
            return true;
        case 'R':
            if (send(fd, &byte, 1, MSG_NOSIGNAL) == 1) read_all(fd, &byte, 1);
            end_by_peer(line);
            break;
        default:
            read_all(fd, &byte, 1);
            end_by_peer(line);
    }
    close(fd);
    return true;
}

// One connection. The server's own address, or one of port 0.
sockaddr_in call_once(sockaddr_in to, char plan) {
    if (plan == 'x') to.sin_port = htons(static_cast<uint16_t>(ntohs(to.sin_port) + 1));
    Line line{.remote = to, .plan = plan, .opened = unix_nanos()};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    if (plan == 'x') bind_first(fd, line);

    char answer[answer_size + 1] = {};
    bool answered = false;
    line.error = try_connect(fd, to);
    if (line.error != 0) {
        line.outcome = outcome_of(line.error);
        close(fd);
        ++failed;
    } else {
        set_local(fd, line);
        answered = converse(fd, line, answer);
        ++established;
    }
    line.ended = unix_nanos();
    write_line(line);
    return answered ? parse_address(answer) : sockaddr_in{};
}

// What the targets have answered with, the last of each.
class Answers {
public:
    explicit Answers(size_t targets) : addresses_(targets) {}
    sockaddr_in of(size_t target) {
        const std::lock_guard lock(mutex_);
        return addresses_[target];
    }
    void set(size_t target, const sockaddr_in& address) {
        const std::lock_guard lock(mutex_);
        addresses_[target] = address;
    }

private:
    std::mutex mutex_;
    std::vector<sockaddr_in> addresses_;
};

void call_in_turns(const Calls& calls, Answers& answers, int first) {
    const auto interval = std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(calls.threads / calls.rate));
    const auto until =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(
                           std::chrono::duration<double>(calls.seconds > 0 ? calls.seconds : 1e9));
    // Threads begin apart from each other.
    auto next = Clock::now() + interval * first / calls.threads;
    for (size_t turn = static_cast<size_t>(first); !stopping && next < until; turn++) {
        std::this_thread::sleep_until(next);
        // What could not be done in time is not made up for at once.
        next = std::max(next + interval, Clock::now() - std::chrono::seconds(1));
        const char plan = calls.plans[turn % calls.plans.size()];
        // So that each way is gone from the beginning on, by one thread or another.
        const size_t round = turn / calls.plans.size() + static_cast<size_t>(first);
        const size_t target = round % calls.targets.size();
        const sockaddr_in pod = answers.of(target);
        const bool to_pod = calls.pods && pod.sin_port != 0 && round / calls.targets.size() % 2 == 1;
        // A service has no port that refuses.
        if (plan == 'x' && !to_pod) continue;
        const sockaddr_in answer = call_once(to_pod ? pod : calls.targets[target], plan);
        // A pod that does not answer may be gone.
        if (plan != 'x' && (!to_pod || answer.sin_port == 0)) answers.set(target, answer);
    }
}

}  // namespace

int call(const Calls& calls) {
    Answers answers(calls.targets.size());
    std::vector<std::thread> threads;
    for (int i = 0; i < calls.threads; i++)
        threads.emplace_back([&, i] { call_in_turns(calls, answers, i); });
    for (auto& thread : threads)
        thread.join();
    std::printf("{\"established\":%llu,\"failed\":%llu}\n", static_cast<unsigned long long>(established),
                static_cast<unsigned long long>(failed));
    return 0;
}

int hog(const Hog& hog) {
    std::vector<int> held;
    for (int i = 0; i < hog.hold; i++) {
        Line line{.remote = hog.target, .plan = 'h', .opened = unix_nanos()};
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        line.error = try_connect(fd, hog.target);
        char answer[answer_size];
        if (line.error == 0) {
            set_local(fd, line);
            if (send(fd, &line.plan, 1, MSG_NOSIGNAL) != 1 ||
                read_all(fd, answer, answer_size) != answer_size)
                line.error = errno;
        }
        if (line.error != 0) {
            close(fd);
            continue;
        }
        // The kernel closes it when it kills, unless its server's pod is deleted before. What was received
        // has been read, so that it ends with a FIN.
        line.end = "KILLED";
        held.push_back(fd);
        write_line(line);
    }
    std::printf("{\"held\":%zu}\n", held.size());
    std::fflush(stdout);
    for (double waited = 0; waited < hog.seconds && !stopping; waited += 0.1)
        usleep(100'000);
    for (size_t i = 0; i < hog.mib && !stopping; i++) {
        char* block = static_cast<char*>(std::malloc(1 << 20));
        std::memset(block, static_cast<int>(i) | 1, 1 << 20);
        asm volatile("" : : "r"(block) : "memory");
    }
    return 0;
}

}  // namespace workload
