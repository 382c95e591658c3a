// SPDX-License-Identifier: Apache-2.0
//
// Several clients and several servers at once, in two network namespaces, connect and close as fast as they
// can. Prints how many in one line of JSON; the kernel's own counts are for the caller to read. Shares no
// code with the agent.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

// A client has some 28,000 ports for each address and port of a server, each kept for 60 s in TIME_WAIT.
constexpr unsigned addresses = 250;

struct Options {
    uint64_t connections = 500000;
    unsigned clients = 4;
    unsigned servers = 3;
    unsigned bytes = 0;
    std::string client_netns;
    std::string server_netns;
    std::string network = "10.88.0.0";
};

[[noreturn]] void fail(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
}

class Fd {
public:
    Fd(int fd, const char* what) : fd_(fd) {
        if (fd < 0) fail(what);
    }
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    Fd& operator=(Fd&&) = delete;
    ~Fd() {
        if (fd_ >= 0) close(fd_);
    }
    int get() const { return fd_; }

private:
    int fd_;
};

// Of the calling thread. Its sockets stay where they were made.
void enter(const std::string& netns) {
    const Fd file(open(netns.c_str(), O_RDONLY | O_CLOEXEC), netns.c_str());
    if (setns(file.get(), CLONE_NEWNET) != 0) fail("setns");
}

sockaddr_in address_of(uint32_t host_order, uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(host_order);
    address.sin_port = htons(port);
    return address;
}

Fd make_socket() {
    return {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"};
}

void send_all(const Fd& socket, unsigned bytes) {
    const std::vector<char> data(bytes);
    if (bytes > 0 && send(socket.get(), data.data(), bytes, MSG_NOSIGNAL) != ssize_t{bytes}) fail("send");
}

// Reads so many bytes, or, with 0, until the other end has closed.
void receive(const Fd& socket, unsigned bytes) {
    char buffer[4096];
    for (uint64_t got = 0; bytes == 0 || got < bytes;) {
        const ssize_t now = recv(socket.get(), buffer, sizeof buffer, 0);
        if (now < 0) fail("recv");
        if (now == 0) return;
        got += static_cast<uint64_t>(now);
    }
}

struct Server {
    Fd listener;
    uint16_t port;
    uint64_t connections = 0;  // that clients will make to it
};

Server make_server() {
    Fd listener = make_socket();
    sockaddr_in address = address_of(INADDR_ANY, 0);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener.get(), generic, size) != 0) fail("bind");
    if (listen(listener.get(), 1024) != 0) fail("listen");
    if (getsockname(listener.get(), generic, &size) != 0) fail("getsockname");
    return {std::move(listener), ntohs(address.sin_port)};
}

void serve(const Server& server, unsigned bytes) {
    for (uint64_t i = 0; i < server.connections; i++) {
        const Fd socket(accept4(server.listener.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept");
        if (bytes > 0) receive(socket, bytes);
        send_all(socket, bytes);
        receive(socket, 0);
    }
}

struct Client {
    unsigned number;
    uint64_t connections;
};

void connect_all(const Client& client, const std::vector<Server>& servers, const Options& options) {
    enter(options.client_netns);
    const uint32_t network = ntohl(inet_addr(options.network.c_str()));
    for (uint64_t i = 0; i < client.connections; i++) {
        const Server& server = servers[(client.number + i) % servers.size()];
        const sockaddr_in to = address_of(network + 1 + static_cast<uint32_t>(i % addresses), server.port);
        const Fd socket = make_socket();
        if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) fail("connect");
        send_all(socket, options.bytes);
        if (options.bytes > 0) receive(socket, options.bytes);
    }
}

// One that fails leaves the others waiting for it: then all is over.
template <class Work>
std::jthread start(Work work) {
    return std::jthread([work] {
        try {
            work();
        } catch (const std::exception& error) {
            std::fprintf(stderr, "churn: %s\n", error.what());
            _exit(1);
        }
    });
}

void churn(const Options& options) {
    enter(options.server_netns);
    std::vector<Server> servers;
    for (unsigned i = 0; i < options.servers; i++)
        servers.push_back(make_server());
    std::vector<Client> clients;
    for (unsigned i = 0; i < options.clients; i++) {
        const uint64_t extra = i < options.connections % options.clients ? 1 : 0;
        clients.push_back({i, options.connections / options.clients + extra});
        for (size_t s = 0; s < servers.size(); s++) {
            // As connect_all() goes round.
            const uint64_t turn = (s + servers.size() - i % servers.size()) % servers.size();
            const uint64_t made = clients.back().connections;
            servers[s].connections += made / servers.size() + (turn < made % servers.size() ? 1 : 0);
        }
    }
    const auto began = std::chrono::steady_clock::now();
    {
        std::vector<std::jthread> threads;
        for (const Server& server : servers)
            threads.push_back(start([&] { serve(server, options.bytes); }));
        for (const Client& client : clients)
            threads.push_back(start([&] { connect_all(client, servers, options); }));
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
    std::printf("{\"connections\":%lu,\"seconds\":%.6f}\n", options.connections, seconds.count());
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("Connects from one network namespace to another, with several clients and servers at once.");
    app.add_option("--connections", options.connections, "how many")->capture_default_str();
    app.add_option("--clients", options.clients, "")->check(CLI::Range(1, 256))->capture_default_str();
    app.add_option("--servers", options.servers, "")->check(CLI::Range(1, 256))->capture_default_str();
    app.add_option("--bytes", options.bytes, "that the client sends, then the server")
        ->check(CLI::Range(0, 4096));
    app.add_option("--client-netns", options.client_netns, "path, such as /proc/1/ns/net")->required();
    app.add_option("--server-netns", options.server_netns, "")->required();
    app.add_option("--network", options.network, "whose first 250 addresses are the servers'")
        ->capture_default_str();
    try {
        app.parse(argc, argv);
        churn(options);
        return 0;
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "churn: %s\n", error.what());
        return 1;
    }
}
