// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/actors.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <fstream>
#include <stdexcept>

namespace tcptrail::test {

namespace {

constexpr timeval patience{.tv_sec = 60, .tv_usec = 0};

// A failure of the child before its first closure ends it with this status.
constexpr int failed_birth = 41;

// The cgroup v2 of a process ("0::/a/b"), empty where there is none.
std::string cgroup_of(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/cgroup");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("0::")) return line.substr(3);
    }
    return "";
}

int checked(int result, const char* what) {
    if (result < 0) throw std::runtime_error(std::string(what) + ": " + std::strerror(-result));
    return result;
}

}  // namespace

Actor::Actor(const Netns& net, const std::string& name, const Identity& identity)
    : net_(net), name_(name), uid_(identity.uid), born_unix_nanos_(unix_nanos()) {
    int channels[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channels) != 0) {
        throw std::runtime_error(std::string("socketpair: ") + std::strerror(errno));
    }
    setsockopt(channels[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    pid_ = fork();
    if (pid_ == 0) live(channels[1], identity);
    close(channels[1]);
    channel_ = channels[0];
    if (pid_ < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
    alive_ = true;
    try {
        call([] { return 0; });
    } catch (...) {
        // The destructor of an object that was never complete does not run.
        kill(SIGKILL);
        close(channel_);
        throw;
    }
    cgroup_path_ = cgroup_of(pid_);
}

Actor::~Actor() {
    kill(SIGKILL);
    close(channel_);
}

// The child's whole life. What fails here has no one to tell: the parent finds the channel closed.
void Actor::live(int channel, const Identity& identity) {
    if (!identity.cgroup_folder.empty()) {
        std::ofstream procs(identity.cgroup_folder + "/cgroup.procs");
        procs << getpid() << std::flush;
        if (!procs) _exit(failed_birth);
    }
    if (setns(net_.fd(), CLONE_NEWNET) != 0) _exit(failed_birth);
    prctl(PR_SET_NAME, name_.c_str());
    if (identity.uid != 0 && (setgid(identity.uid) != 0 || setuid(identity.uid) != 0)) _exit(failed_birth);
    // After setuid, which takes it back: no child outlives its test.
    prctl(PR_SET_PDEATHSIG, SIGKILL);

    Request request;
    std::byte result[Request::capacity];
    while (recv(channel, &request, sizeof request, 0) == sizeof request) {
        const size_t size = request.run(request.captured, result);
        if (::send(channel, result, size, MSG_NOSIGNAL) < 0) break;
    }
    _exit(0);
}

void Actor::send(const Request& request) {
    if (::send(channel_, &request, sizeof request, MSG_NOSIGNAL) != sizeof request) {
        throw std::runtime_error(name_ + " is gone: " + std::strerror(errno));
    }
}

void Actor::receive(void* result, size_t size) {
    ssize_t received = 0;
    // A receive with a time limit is not restarted after what interrupts it, be it the end of an io_uring.
    do {
        received = recv(channel_, result, size, 0);
    } while (received < 0 && errno == EINTR);
    if (received == static_cast<ssize_t>(size)) return;
    throw std::runtime_error(name_ + (received < 0 ? " does not answer" : " is gone"));
}

void Actor::kill(int signal) {
    if (!alive_) return;
    ::kill(pid_, signal);
    reap();
}

void Actor::exit() {
    start([] {
        _exit(0);
        return 0;
    });
    reap();
}

void Actor::reap() {
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    alive_ = false;
}

Connection establish(Actor& client, Actor& server, const Endpoint& at) {
    const int listener = checked(server.call([=] { return listen_on(at); }), "listen");
    return establish(client, server, listener);
}

Connection establish(Actor& client, Actor& server, int listener, int protocol) {
    const Endpoint at = server.call([=] { return local_end(listener); });
    Connection made{};
    made.client_fd = checked(client.call([=] { return connect_to(at, nullptr, protocol); }), "connect");
    made.server_fd = checked(server.call([=] { return accept_one(listener); }), "accept");
    made.client_end = client.call([fd = made.client_fd] { return local_end(fd); });
    made.server_end = server.call([fd = made.server_fd] { return local_end(fd); });
    return made;
}

uint64_t unix_nanos() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000ULL + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace tcptrail::test
