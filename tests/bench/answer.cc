// SPDX-License-Identifier: Apache-2.0
//
// The smallest HTTP server that keeps connections open: each request is answered with the same few bytes. For
// the rate of requests of long connections. One thread; prints "ready" when it listens.
//
//     answer PORT
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>

namespace {

constexpr std::string_view end_of_request = "\r\n\r\n";
constexpr std::string_view response =
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Type: text/plain\r\n\r\nok\n";

[[noreturn]] void fail(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
}

int listen_on(uint16_t port) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int on = 1;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_ANY);
    address.sin_port = htons(port);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener, 1024) != 0)
        fail("listen");
    return listener;
}

// All of it lives as long as the process does.
class Server {
public:
    explicit Server(uint16_t port) : listener_(listen_on(port)), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
        if (epoll_ < 0) fail("epoll");
        watch(listener_);
    }

    [[noreturn]] void run() {
        epoll_event events[64];
        for (;;) {
            const int count = epoll_wait(epoll_, events, 64, -1);
            for (int i = 0; i < count; i++)
                events[i].data.fd == listener_ ? accept_one() : answer(events[i].data.fd);
        }
    }

private:
    void watch(int fd) {
        epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
    }

    void accept_one() {
        const int socket = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (socket < 0) return;
        const int on = 1;
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(socket);
    }

    void answer(int socket) {
        char buffer[4096];
        const ssize_t got = recv(socket, buffer, sizeof buffer, 0);
        if (got <= 0) {
            unfinished_.erase(socket);
            close(socket);
            return;
        }
        std::string& request = unfinished_[socket];
        request.append(buffer, static_cast<size_t>(got));
        for (size_t end; (end = request.find(end_of_request)) != std::string::npos;) {
            request.erase(0, end + end_of_request.size());
            // A client that has gone is told by recv().
            (void)send(socket, response.data(), response.size(), MSG_NOSIGNAL);
        }
    }

    int listener_;
    int epoll_;
    std::unordered_map<int, std::string> unfinished_;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fputs("usage: answer PORT\n", stderr);
        return 2;
    }
    try {
        Server server(static_cast<uint16_t>(std::strtoul(argv[1], nullptr, 10)));
        std::puts("ready");
        std::fflush(stdout);
        server.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "answer: %s\n", error.what());
        return 1;
    }
}
