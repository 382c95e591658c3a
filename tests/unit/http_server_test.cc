// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch.h"
#include "tests/kafka/process.h"

using namespace tcptrail;
using namespace std::chrono_literals;
using serve::HttpRequest;
using serve::HttpResponse;
using serve::HttpServer;
using serve::ListenAddress;

namespace {

// A server at a Unix socket, on a thread of its own, as the capture thread is.
class Server {
public:
    Server(const ListenAddress& address, HttpServer::Answer answer) {
        auto created = EventLoop::create();
        REQUIRE(created);
        loop_ = std::make_unique<EventLoop>(std::move(*created));
        auto opened = HttpServer::open(address, std::move(answer));
        REQUIRE(opened);
        server_ = std::move(*opened);
        REQUIRE(server_->serve_in(*loop_));
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
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    // How often the loop came to its other work.
    uint64_t ticks() const { return ticks_; }

private:
    std::unique_ptr<EventLoop> loop_;
    std::unique_ptr<HttpServer> server_;
    std::atomic<bool> stopping_ = false;
    std::atomic<uint64_t> ticks_ = 0;
    std::thread thread_;
};

ListenAddress at(const std::string& path) {
    ListenAddress address;
    address.path = path;
    return address;
}

Fd connect_to(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fd.reset();
    return fd;
}

bool give(const Fd& fd, const std::string& text) {
    return send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

// All there is to read, until the end.
std::string rest_of(const Fd& fd) {
    std::string text;
    char buffer[65536];
    for (ssize_t got = 0; (got = recv(fd.get(), buffer, sizeof buffer, 0)) > 0;)
        text.append(buffer, static_cast<size_t>(got));
    return text;
}

std::string asked(const std::string& path, const std::string& request) {
    const Fd fd = connect_to(path);
    REQUIRE(give(fd, request));
    return rest_of(fd);
}

std::string first_line(const std::string& text) {
    return text.substr(0, text.find("\r\n"));
}

constexpr const char* get = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n";

}  // namespace

TEST_CASE("http server: answers GET and HEAD, refuses the rest, and ends") {
    const tests::Folder folder;
    const std::string path = folder.path() / "http.sock";
    const Server server(at(path), [](const HttpRequest& request) {
        return HttpResponse::text(200, "you asked for " + request.path);
    });
    CHECK(asked(path, get) ==
          "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 16\r\n"
          "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
          "you asked for /x");
    const std::string head = asked(path, "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(head.find("Content-Length: 16\r\n") != std::string::npos);
    CHECK(head.ends_with("\r\n\r\n"));
    const std::string post = asked(path, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    CHECK(first_line(post) == "HTTP/1.1 405 Method Not Allowed");
    CHECK(post.find("Allow: GET, HEAD\r\n") != std::string::npos);
    CHECK(first_line(asked(path, "nonsense\r\n\r\n")) == "HTTP/1.1 400 Bad Request");
    CHECK(first_line(asked(path, std::string("\x16\x03\x01\x02", 4))) == "HTTP/1.1 400 Bad Request");
    // Two at once: the second has no answer, and the first is whole.
    CHECK(asked(path, std::string(get) + get).ends_with("you asked for /x"));
}

TEST_CASE("http server: a request in pieces, one without an end, and one that is huge") {
    const tests::Folder folder;
    const std::string path = folder.path() / "http.sock";
    const Server server(at(path), [](const HttpRequest&) { return HttpResponse::text(200, "here"); });
    const Fd fd = connect_to(path);
    for (const char* c = get; *c; ++c) {
        REQUIRE(give(fd, std::string(1, *c)));
        std::this_thread::sleep_for(1ms);
    }
    CHECK(rest_of(fd).ends_with("here"));
    const Fd huge = connect_to(path);
    (void)give(huge, "GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(20000, 'x'));
    CHECK(first_line(rest_of(huge)) == "HTTP/1.1 431 Request Header Fields Too Large");
    const Fd gone = connect_to(path);
    REQUIRE(give(gone, "GET / HTT"));
    REQUIRE(shutdown(gone.get(), SHUT_WR) == 0);
    CHECK(rest_of(gone).empty());
    const auto began = std::chrono::steady_clock::now();
    const Fd silent = connect_to(path);
    CHECK(rest_of(silent).empty());
    CHECK(std::chrono::steady_clock::now() - began > 4s);
    CHECK(asked(path, get).ends_with("here"));
}

TEST_CASE("http server: who does not read does not hold up the loop, nor the others") {
    const tests::Folder folder;
    const std::string path = folder.path() / "http.sock";
    const std::string large(8 << 20, 'x');
    const Server server(at(path), [&](const HttpRequest&) { return HttpResponse::text(200, large); });
    std::vector<Fd> slow;
    // More than have a place.
    for (size_t i = 0; i < 2 * HttpServer::most_clients; ++i) {
        slow.push_back(connect_to(path));
        REQUIRE(slow.back().valid());
        (void)give(slow.back(), get);
    }
    const uint64_t before = server.ticks();
    CHECK(asked(path, get).size() > large.size());
    REQUIRE(tests::eventually(tests::seconds(5), [&] { return server.ticks() > before + 10; }));
    // The oldest had to go for it: what was in its buffer is all it gets.
    CHECK(rest_of(slow.front()).size() < large.size());
    // The youngest waited; now it goes on, and gets all.
    CHECK(rest_of(slow.back()).size() > large.size());
    // The one before takes nothing for longer than the agent's patience.
    std::this_thread::sleep_for(std::chrono::nanoseconds(HttpServer::patience_ns) + 1500ms);
    CHECK(rest_of(slow[slow.size() - 2]).size() < large.size());
}

TEST_CASE("http server: who goes on sending behind his request is heard no longer than a moment") {
    const tests::Folder folder;
    const std::string path = folder.path() / "http.sock";
    const Server server(at(path), [](const HttpRequest&) { return HttpResponse::text(200, "here"); });
    const Fd fd = connect_to(path);
    REQUIRE(give(fd, get));
    const auto began = std::chrono::steady_clock::now();
    while (give(fd, std::string(1000, 'x')) && std::chrono::steady_clock::now() - began < 10s)
        std::this_thread::sleep_for(1ms);
    CHECK(std::chrono::steady_clock::now() - began < 5s);
}

TEST_CASE("http server: an address of IPv4 and of IPv6, and one that is taken") {
    for (const char* text : {"127.0.0.1", "[::1]"}) {
        INFO(text);
        auto address = serve::parse_listen_address(std::string(text) + ":1");
        REQUIRE(address);
        // Port 0, which the configuration refuses: any that is free.
        const bool is_ipv6 = address->inet.ss_family == AF_INET6;
        reinterpret_cast<sockaddr_in*>(&address->inet)->sin_port = 0;  // at the same place in both
        const Fd holder(socket(address->inet.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const int bound =
            bind(holder.get(), reinterpret_cast<const sockaddr*>(&address->inet), address->inet_bytes);
        if (is_ipv6 && bound != 0) continue;  // a machine without IPv6
        REQUIRE(bound == 0);
        REQUIRE(listen(holder.get(), 1) == 0);
        socklen_t bytes = sizeof address->inet;
        REQUIRE(getsockname(holder.get(), reinterpret_cast<sockaddr*>(&address->inet), &bytes) == 0);
        const auto taken =
            HttpServer::open(*address, [](const HttpRequest&) { return HttpResponse::text(200, ""); });
        REQUIRE_FALSE(taken);
        CHECK(taken.error().message == "bind: Address already in use");
    }
}
