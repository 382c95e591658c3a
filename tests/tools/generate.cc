// SPDX-License-Identifier: Apache-2.0
//
// Makes TCP connections on the loopback interface and says how many: the load of tests and
// benchmarks, and the number they are judged by. Shares no code with the agent.
//
// Both ends of a connection live in one thread: connect, accept, exchange, close, close. So each
// connection is over before the next begins, and the count is exact.
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tests/tools/opens.h"

namespace {

struct Options {
    uint64_t connections = 1000;
    unsigned threads = 1;
    std::string end = "fin";
    uint64_t bytes = 0;
    unsigned addresses = 250;
    int family = 4;
    double rate = 0;
    uint16_t port = 0;
    std::string netns = "own";
    bool server_first = false;
    bool time_connect = false;
};

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

class Socket {
public:
    explicit Socket(int fd, const char* what) : fd_(fd) {
        if (fd < 0) fail(what);
    }
    Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    Socket& operator=(Socket&&) = delete;
    ~Socket() { close_now(); }

    int fd() const { return fd_; }
    void close_now() {
        if (fd_ >= 0) close(std::exchange(fd_, -1));
    }

private:
    int fd_;
};

// An address of either family as the socket calls want it.
struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;

    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Address ipv4(uint32_t host_order, uint16_t port) {
    Address address;
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(host_order);
    in.sin_port = htons(port);
    std::memcpy(&address.storage, &in, sizeof in);
    address.size = sizeof in;
    return address;
}

Address ipv6_loopback(uint16_t port) {
    Address address;
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_addr = in6addr_loopback;
    in.sin6_port = htons(port);
    std::memcpy(&address.storage, &in, sizeof in);
    address.size = sizeof in;
    return address;
}

struct Listener {
    Socket socket;
    uint16_t port;
};

Listener listen_on(int family, uint16_t port) {
    Socket socket(::socket(family == 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    const int on = 1;
    setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // All of 127.0.0.0/8, not only 127.0.0.1.
    Address address = family == 4 ? ipv4(INADDR_ANY, port) : ipv6_loopback(port);
    if (bind(socket.fd(), address.get(), address.size) != 0) fail("bind");
    if (listen(socket.fd(), 16) != 0) fail("listen");
    if (getsockname(socket.fd(), address.get(), &address.size) != 0) fail("getsockname");
    // The port is at the same place in both families.
    const uint16_t chosen = ntohs(reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port);
    return {std::move(socket), chosen};
}

// Sends `bytes` from one end and reads them at the other, in pieces that any socket buffer holds.
void carry(const Socket& from, const Socket& to, uint64_t bytes) {
    static const char piece[16384] = {};
    thread_local char buffer[sizeof piece];
    while (bytes > 0) {
        const ssize_t sent = send(from.fd(), piece, std::min<uint64_t>(bytes, sizeof piece), MSG_NOSIGNAL);
        if (sent < 0) fail("send");
        for (ssize_t left = sent; left > 0;) {
            const ssize_t got = recv(to.fd(), buffer, static_cast<size_t>(left), 0);
            if (got < 0) fail("recv");
            if (got == 0) throw std::runtime_error("recv: the other end has closed");
            left -= got;
        }
        bytes -= static_cast<uint64_t>(sent);
    }
}

void reset_on_close(const Socket& socket) {
    const linger now = {.l_onoff = 1, .l_linger = 0};
    if (setsockopt(socket.fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now) != 0) fail("SO_LINGER");
}

// `connect_ns`: where the nanoseconds in connect() go, if anybody wants them.
void one_connection(const Options& options, const Listener& listener, Address destination,
                    std::vector<int64_t>* connect_ns) {
    Socket client(::socket(options.family == 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0),
                  "socket");
    const auto before = connect_ns ? Clock::now() : Clock::time_point();
    if (connect(client.fd(), destination.get(), destination.size) != 0) fail("connect");
    if (connect_ns) connect_ns->push_back((Clock::now() - before) / std::chrono::nanoseconds(1));
    Socket server(accept4(listener.socket.fd(), nullptr, nullptr, SOCK_CLOEXEC), "accept");
    carry(client, server, options.bytes);
    carry(server, client, options.bytes);
    Socket& first = options.server_first ? server : client;
    Socket& second = options.server_first ? client : server;
    if (options.end == "rst") reset_on_close(first);
    first.close_now();
    second.close_now();
}

// One thread's work: its own listeners, so that it accepts what it connected.
class Worker {
public:
    Worker(const Options& options, uint64_t count) : options_(options), count_(count) {
        if (options.time_connect) connect_ns_.reserve(count);
        // A destination has some 28,000 ports to connect from, each kept 60 s in TIME_WAIT. IPv4 has
        // many loopback addresses for more; IPv6 has one, so there it is many ports.
        if (options.family == 4) {
            listeners_.push_back(listen_on(4, options.port));
            return;
        }
        for (unsigned i = 0; i < options.addresses; i++)
            listeners_.push_back(
                listen_on(6, options.port == 0 ? uint16_t{0} : static_cast<uint16_t>(options.port + i)));
    }

    void run() {
        const auto start = Clock::now();
        const double rate = options_.rate / options_.threads;
        for (uint64_t i = 0; i < count_; i++) {
            if (rate > 0) {
                std::this_thread::sleep_until(
                    start + std::chrono::duration_cast<Clock::duration>(
                                std::chrono::duration<double>(static_cast<double>(i) / rate)));
            }
            try {
                connect_number(i);
                made_++;
            } catch (const std::exception& error) {
                if (errors_++ == 0) first_error_ = error.what();
            }
        }
    }

    uint64_t made() const { return made_; }
    uint64_t errors() const { return errors_; }
    const std::string& first_error() const { return first_error_; }
    uint16_t port() const { return listeners_.front().port; }
    const std::vector<int64_t>& connect_ns() const { return connect_ns_; }

private:
    void connect_number(uint64_t i) {
        std::vector<int64_t>* const times = options_.time_connect ? &connect_ns_ : nullptr;
        const auto turn = static_cast<uint32_t>(i % options_.addresses);
        if (options_.family == 4) {
            // 127.0.1.1 and on, 250 to a network: none ends in 0 or 255.
            const uint32_t address = (127u << 24) + ((1 + turn / 250) << 8) + 1 + turn % 250;
            one_connection(options_, listeners_.front(), ipv4(address, listeners_.front().port), times);
        } else {
            const Listener& listener = listeners_[turn];
            one_connection(options_, listener, ipv6_loopback(listener.port), times);
        }
    }

    const Options& options_;
    uint64_t count_;
    std::vector<Listener> listeners_;
    uint64_t made_ = 0;
    uint64_t errors_ = 0;
    std::string first_error_;
    std::vector<int64_t> connect_ns_;
};

// ,"connect_ns":{"p50":…,"p99":…,"p999":…}, by rank: of 1000 the 500th, 990th, 999th.
std::string connect_times(const std::vector<Worker>& workers) {
    std::vector<int64_t> all;
    for (const Worker& worker : workers)
        all.insert(all.end(), worker.connect_ns().begin(), worker.connect_ns().end());
    if (all.empty()) return "";
    std::ranges::sort(all);
    const auto at = [&all](size_t permille) {
        return std::to_string(all[(all.size() * permille + 999) / 1000 - 1]);
    };
    return R"(,"connect_ns":{"p50":)" + at(500) + R"(,"p99":)" + at(990) + R"(,"p999":)" + at(999) + "}";
}

void enter_new_netns() {
    if (unshare(CLONE_NEWNET) != 0) fail("unshare(CLONE_NEWNET)");
    const Socket socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(socket.fd(), SIOCSIFFLAGS, &request) != 0) fail("lo up");
}

uint64_t netns_inode() {
    struct stat status{};
    if (stat("/proc/self/ns/net", &status) != 0) fail("/proc/self/ns/net");
    return status.st_ino;
}

double cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + time.tv_usec / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int generate(const Options& options) {
    if (options.netns == "new") enter_new_netns();
    std::vector<Worker> workers;
    workers.reserve(options.threads);
    for (unsigned i = 0; i < options.threads; i++) {
        const uint64_t extra = i < options.connections % options.threads ? 1 : 0;
        workers.emplace_back(options, options.connections / options.threads + extra);
    }

    const tests::Opens before = tests::read_opens();
    const auto start = Clock::now();
    {
        std::vector<std::jthread> threads;
        for (size_t i = 1; i < workers.size(); i++)
            threads.emplace_back([&worker = workers[i]] { worker.run(); });
        workers[0].run();
    }
    const std::chrono::duration<double> elapsed = Clock::now() - start;
    const tests::Opens after = tests::read_opens();

    uint64_t made = 0;
    uint64_t errors = 0;
    for (const Worker& worker : workers) {
        made += worker.made();
        errors += worker.errors();
        if (worker.errors() > 0) std::fprintf(stderr, "generate: %s\n", worker.first_error().c_str());
    }
    std::printf(
        "{\"connections\":%lu,\"errors\":%lu,\"seconds\":%.6f,\"per_second\":%.0f,\"cpu_seconds\":%.6f,"
        "\"active_opens\":%lu,\"passive_opens\":%lu,\"netns\":%lu,\"port\":%u,\"pid\":%d%s}\n",
        made, errors, elapsed.count(), static_cast<double>(made) / elapsed.count(), cpu_seconds(),
        after.active - before.active, after.passive - before.passive, netns_inode(), workers[0].port(),
        getpid(), connect_times(workers).c_str());
    return errors == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("Makes TCP connections on loopback, both ends, and prints one line of JSON about them.");
    app.add_option("--connections", options.connections, "how many")->capture_default_str();
    app.add_option("--threads", options.threads, "they are shared out evenly")->check(CLI::Range(1, 256));
    app.add_option("--end", options.end, "how each ends")->check(CLI::IsMember({"fin", "rst"}));
    app.add_option("--bytes", options.bytes, "that the client sends, then the server");
    app.add_option("--addresses", options.addresses,
                   "of servers: 127.0.1.1 and on; with --family 6: ports of ::1")
        ->check(CLI::Range(1, 16000))
        ->capture_default_str();
    app.add_option("--family", options.family, "")->check(CLI::IsMember({4, 6}));
    app.add_option("--rate", options.rate, "connections per second, all threads; 0: as fast as it goes");
    app.add_option("--port", options.port, "of the server; 0: any free one. One thread only");
    app.add_option("--netns", options.netns, "new: makes a network namespace of its own, which needs root")
        ->check(CLI::IsMember({"own", "new"}));
    app.add_flag("--server-first", options.server_first, "the server's end closes first");
    app.add_flag("--time-connect", options.time_connect, "also tell how long connect() takes");
    try {
        app.parse(argc, argv);
        if (options.port != 0 && options.threads > 1) throw CLI::ValidationError("--port", "one thread only");
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    try {
        return generate(options);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "generate: %s\n", error.what());
        return 1;
    }
}
