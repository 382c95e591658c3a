// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/local_socket.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "agent/base/clock.h"

namespace tcptrail::serve {

namespace {

constexpr mode_t mode_at_first = 0600;
constexpr mode_t socket_mode = 0660;
constexpr mode_t lock_mode = 0600;
constexpr int backlog = 16;
constexpr auto tick = std::chrono::seconds(1);

// The lock is its holder's as long as it lives; the file stays.
Result<Fd> take_lock(const std::string& path) {
    const std::string name = path + ".lock";
    Fd lock(open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, lock_mode));
    if (!lock.valid()) return fail_errno(name, errno);
    if (flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
    if (errno == EWOULDBLOCK) return fail(path + " is another agent's, which runs");
    return fail_errno(name, errno);
}

// Whether a program serves there that does not know the lock. What was left behind refuses.
bool is_served(const sockaddr_un& address) {
    const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
           errno != ECONNREFUSED;
}

}  // namespace

Result<std::unique_ptr<LocalSocket>> LocalSocket::open(const std::string& path, Answer answer) {
    std::unique_ptr<LocalSocket> self(new LocalSocket(path, std::move(answer)));
    std::error_code problem;
    if (const auto folder = std::filesystem::path(path).parent_path(); !folder.empty())
        std::filesystem::create_directories(folder, problem);
    if (problem) return fail_errno("the folder of " + path, problem.value());
    auto lock = take_lock(path);
    if (!lock) return std::unexpected(std::move(lock.error()));
    self->lock_ = std::move(*lock);
    if (auto done = self->bind_and_listen(); !done) return std::unexpected(std::move(done.error()));
    return self;
}

Result<> LocalSocket::bind_and_listen() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path) return fail(path_ + " is too long for the name of a socket");
    path_.copy(address.sun_path, path_.size());
    struct stat status{};
    if (lstat(path_.c_str(), &status) == 0) {
        if (!S_ISSOCK(status.st_mode)) return fail(path_ + " is no socket");
        if (is_served(address)) return fail(path_ + " is another program's, which runs");
        if (unlink(path_.c_str()) != 0) return fail_errno(path_, errno);
    }
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
    if (!fd.valid() || !epoll_.valid()) return fail_errno("a socket", errno);
    // Nobody else's at any moment, whatever the umask is.
    if (fchmod(fd.get(), mode_at_first) != 0 ||
        bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno(path_, errno);
    if (chmod(path_.c_str(), socket_mode) != 0) return fail_errno(path_, errno);
    if (lstat(path_.c_str(), &status) == 0)
        std::tie(device_, inode_) = std::pair(status.st_dev, status.st_ino);
    if (listen(fd.get(), backlog) != 0) return fail_errno(path_, errno);
    listener_ = std::move(fd);
    return watch(listener_.get(), EPOLLIN);
}

LocalSocket::~LocalSocket() {
    struct stat status{};
    // Not what somebody else has put there.
    if (inode_ != 0 && lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
        status.st_ino == inode_)
        unlink(path_.c_str());
}

Result<> LocalSocket::watch(int fd, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl", errno);
    if (fd == listener_.get()) listening_ = true;
    return {};
}

Result<> LocalSocket::serve_in(EventLoop& loop) {
    if (auto done = loop.on_readable(epoll_.get(), [this] { on_ready(); }); !done) return done;
    return loop.every(tick, [this] {
        drop_slow();
        if (!listening_) (void)watch(listener_.get(), EPOLLIN);
    });
}

void LocalSocket::on_ready() {
    std::array<epoll_event, most_clients + 1> events{};
    const int n = epoll_wait(epoll_.get(), events.data(), events.size(), 0);
    for (int i = 0; i < n; ++i) {
        const int fd = events[static_cast<size_t>(i)].data.fd;
        if (fd == listener_.get()) continue;
        const auto client = std::ranges::find(clients_, fd, [](const Client& c) { return c.fd.get(); });
        if (client != clients_.end() && !send_more(*client)) clients_.erase(client);
    }
    // Last: the numbers of descriptors that were closed may be used again.
    for (int i = 0; i < n; ++i)
        if (events[static_cast<size_t>(i)].data.fd == listener_.get()) accept_some();
}

// One at a time: between two the loop does its other work.
void LocalSocket::accept_some() {
    Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) {
        // Without descriptors the listener stays readable: it is left alone until the next tick.
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener_.get(), nullptr);
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
