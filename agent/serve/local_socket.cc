// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/local_socket.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "agent/base/clock.h"

namespace tcptrail::serve {

namespace {

constexpr auto tick = std::chrono::seconds(1);

}  // namespace

Result<std::unique_ptr<LocalSocket>> LocalSocket::open(const std::string& path, Answer answer) {
    std::unique_ptr<LocalSocket> self(new LocalSocket(std::move(answer)));
    auto listener = UnixListener::open(path);
    if (!listener) return std::unexpected(std::move(listener.error()));
    self->listener_ = std::move(*listener);
    self->epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
    if (!self->epoll_.valid()) return fail_errno("epoll_create1", errno);
    if (auto watched = self->watch(self->listener_.fd().get(), EPOLLIN); !watched)
        return std::unexpected(std::move(watched.error()));
    return self;
}

Result<> LocalSocket::watch(int fd, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl", errno);
    if (fd == listener_.fd().get()) listening_ = true;
    return {};
}

Result<> LocalSocket::serve_in(EventLoop& loop) {
    if (auto done = loop.on_readable(epoll_.get(), [this] { on_ready(); }); !done) return done;
    return loop.every(tick, [this] {
        drop_slow();
        if (!listening_) (void)watch(listener_.fd().get(), EPOLLIN);
    });
}

void LocalSocket::on_ready() {
    std::array<epoll_event, most_clients + 1> events{};
    const int n = epoll_wait(epoll_.get(), events.data(), events.size(), 0);
    for (int i = 0; i < n; ++i) {
        const int fd = events[static_cast<size_t>(i)].data.fd;
        if (fd == listener_.fd().get()) continue;
        const auto client = std::ranges::find(clients_, fd, [](const Client& c) { return c.fd.get(); });
        if (client != clients_.end() && !send_more(*client)) clients_.erase(client);
    }
    // Last: the numbers of descriptors that were closed may be used again.
    for (int i = 0; i < n; ++i)
        if (events[static_cast<size_t>(i)].data.fd == listener_.fd().get()) accept_some();
}

// One at a time: between two the loop does its other work.
void LocalSocket::accept_some() {
    Fd fd(accept4(listener_.fd().get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) {
        // Without descriptors the listener stays readable: it is left alone until the next tick.
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener_.fd().get(), nullptr);
            listening_ = false;
        }
        return;
    }
    Client client{std::move(fd), answer_(), 0, monotonic_nanos()};
    if (!send_more(client)) return;
    if (!watch(client.fd.get(), EPOLLOUT)) return;
    if (clients_.size() == most_clients) clients_.pop_front();
    clients_.push_back(std::move(client));
}

// Whether there is more to send, to somebody who takes it.
bool LocalSocket::send_more(Client& client) {
    while (client.sent < client.text.size()) {
        const ssize_t sent = send(client.fd.get(), client.text.data() + client.sent,
                                  client.text.size() - client.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) return errno == EAGAIN || errno == EINTR;
        client.sent += static_cast<size_t>(sent);
        client.progress_ns = monotonic_nanos();
    }
    return false;
}

void LocalSocket::drop_slow() {
    const uint64_t now = monotonic_nanos();
    std::erase_if(clients_, [now](const Client& client) { return now - client.progress_ns > patience_ns; });
}

}  // namespace tcptrail::serve
