// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/http_server.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "agent/base/clock.h"

namespace tcptrail::serve {

namespace {

constexpr int backlog = 16;
constexpr auto tick = std::chrono::seconds(1);
constexpr int too_large = 431;

std::string_view reason_of(int status) {
    switch (status) {
        case 200:
            return "OK";
        case 401:
            return "Unauthorized";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 413:
            return "Content Too Large";
        case too_large:
            return "Request Header Fields Too Large";
        case 503:
            return "Service Unavailable";
        case 505:
            return "HTTP Version Not Supported";
        default:
            return "Bad Request";
    }
}

HttpResponse refusal(int status) {
    HttpResponse response = HttpResponse::text(status, std::string(reason_of(status)) + "\n");
    if (status == 405) response.header = "Allow: GET, HEAD\r\n";
    return response;
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::open(const ListenAddress& address, Answer answer) {
    std::unique_ptr<HttpServer> self(new HttpServer(std::move(answer)));
    self->epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
    if (!self->epoll_.valid()) return fail_errno("epoll_create1", errno);
    if (auto done = self->listen_on(address); !done) return std::unexpected(std::move(done.error()));
    if (auto done = self->watch(self->listener(), EPOLLIN, EPOLL_CTL_ADD); !done)
        return std::unexpected(std::move(done.error()));
    return self;
}

Result<> HttpServer::listen_on(const ListenAddress& address) {
    if (!address.path.empty()) {
        auto listener = UnixListener::open(address.path);
        if (!listener) return std::unexpected(std::move(listener.error()));
        path_listener_ = std::move(*listener);
        return {};
    }
    Fd fd(socket(address.inet.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return fail_errno("a socket", errno);
    // What the agent before has closed may be in TIME_WAIT. Of IPv6 that alone: [::] is not for IPv4 too.
    const int on = 1;
    if (setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        return fail_errno("a socket", errno);
    if (address.inet.ss_family == AF_INET6 &&
        setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0)
        return fail_errno("a socket", errno);
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.inet), address.inet_bytes) != 0)
        return fail_errno("bind", errno);
    if (listen(fd.get(), backlog) != 0) return fail_errno("listen", errno);
    fd_ = std::move(fd);
    return {};
}

Result<> HttpServer::watch(int fd, uint32_t events, int operation) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(epoll_.get(), operation, fd, &event) != 0) return fail_errno("epoll_ctl", errno);
    if (fd == listener()) listening_ = true;
    return {};
}

Result<> HttpServer::serve_in(EventLoop& loop) {
    if (auto done = loop.on_readable(epoll_.get(), [this] { on_ready(); }); !done) return done;
    return loop.every(tick, [this] {
        drop_slow();
        if (!listening_) (void)watch(listener(), EPOLLIN, EPOLL_CTL_ADD);
    });
}

void HttpServer::on_ready() {
    std::array<epoll_event, most_clients + 1> events{};
    const int n = epoll_wait(epoll_.get(), events.data(), events.size(), 0);
    bool someone_new = false;
    for (int i = 0; i < n; ++i) {
        const int fd = events[static_cast<size_t>(i)].data.fd;
        someone_new |= fd == listener();
        const auto client = std::ranges::find(clients_, fd, [](const Client& c) { return c.fd.get(); });
        if (client != clients_.end() && !go_on(*client)) clients_.erase(client);
    }
    // Last: the numbers of descriptors that were closed may be used again.
    if (someone_new) accept_some();
}

// One at a time: between two the loop does its other work.
void HttpServer::accept_some() {
    Fd fd(accept4(listener(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) {
        // Without descriptors the listener stays readable: it is left alone until the next tick.
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener(), nullptr);
            listening_ = false;
        }
        return;
    }
    if (!watch(fd.get(), EPOLLIN, EPOLL_CTL_ADD)) return;
    if (clients_.size() == most_clients) clients_.pop_front();
    clients_.emplace_back();
    clients_.back().fd = std::move(fd);
    clients_.back().began_ns = monotonic_nanos();
}

// Whether the client is still there.
bool HttpServer::go_on(Client& client) {
    switch (client.stage) {
        case Stage::reading:
            return read_request(client);
        case Stage::answering:
            return send_more(client);
        case Stage::leaving:
            break;
    }
    return take_leave(client);
}

bool HttpServer::read_request(Client& client) {
    std::array<char, most_request_bytes> buffer{};
    const ssize_t got = recv(client.fd.get(), buffer.data(), most_request_bytes - client.text.size(), 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    client.text.append(buffer.data(), static_cast<size_t>(got));
    if (const auto parsed = parse_request(client.text)) return answer(client, *parsed);
    if (client.text.size() < most_request_bytes) return true;
    return answer(client, {too_large, {}});
}

bool HttpServer::answer(Client& client, const ParsedRequest& parsed) {
    const HttpResponse response = parsed.refusal ? refusal(parsed.refusal) : answer_(parsed.request);
    client.text = fmt::format(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\nConnection: close\r\n{}\r\n",
        response.status, reason_of(response.status), response.type, response.body->size(), response.header);
    if (!parsed.request.is_head) client.body = response.body;
    client.stage = Stage::answering;
    client.began_ns = client.progress_ns = monotonic_nanos();
    if (!send_more(client)) return false;
    return client.stage != Stage::answering || watch(client.fd.get(), EPOLLOUT, EPOLL_CTL_MOD).has_value();
}

bool HttpServer::send_more(Client& client) {
    const std::string_view body = client.body ? std::string_view(*client.body) : std::string_view();
    const size_t all = client.text.size() + body.size();
    while (client.sent < all) {
        const std::string_view rest = client.sent < client.text.size()
                                          ? std::string_view(client.text).substr(client.sent)
                                          : body.substr(client.sent - client.text.size());
        const ssize_t sent = send(client.fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) return errno == EAGAIN || errno == EINTR;
        client.sent += static_cast<size_t>(sent);
        client.progress_ns = monotonic_nanos();
    }
    // What was sent to us and not read would make our end a reset, and take the answer with it: the client
    // ends it.
    client.body.reset();
    client.stage = Stage::leaving;
    client.began_ns = monotonic_nanos();
    if (shutdown(client.fd.get(), SHUT_WR) != 0) return false;
    if (!take_leave(client)) return false;
    return watch(client.fd.get(), EPOLLIN, EPOLL_CTL_MOD).has_value();
}

// Some at a time: who sends without an end has no more than farewell_ns.
bool HttpServer::take_leave(Client& client) {
    std::array<char, most_request_bytes> ignored{};
    const ssize_t got = recv(client.fd.get(), ignored.data(), ignored.size(), 0);
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

void HttpServer::drop_slow() {
    const uint64_t now = monotonic_nanos();
    std::erase_if(clients_, [now](const Client& client) {
        switch (client.stage) {
            case Stage::reading:
                return now - client.began_ns > request_ns;
            case Stage::answering:
                return now - client.progress_ns > patience_ns || now - client.began_ns > answer_ns;
            case Stage::leaving:
                break;
        }
        return now - client.began_ns > farewell_ns;
    });
}

}  // namespace tcptrail::serve
