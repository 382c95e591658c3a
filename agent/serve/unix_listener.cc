// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/unix_listener.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <tuple>
#include <utility>

namespace tcptrail::serve {

namespace {

constexpr mode_t mode_at_first = 0600;
constexpr mode_t socket_mode = 0660;
constexpr mode_t lock_mode = 0600;
constexpr int backlog = 16;

// The lock is its holder's as long as it lives; the file stays.
Result<Fd> take_lock(const std::string& path) {
    const std::string name = path + ".lock";
    Fd lock(open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, lock_mode));
    if (!lock.valid()) return fail_errno(name, errno);
    if (flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
    if (errno == EWOULDBLOCK)
        return fail(path + " is another agent's, which runs: each needs a path of its own");
    return fail_errno(name, errno);
}

// Whether a program serves there that does not know the lock. What was left behind refuses.
bool is_served(const sockaddr_un& address) {
    const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
           errno != ECONNREFUSED;
}

}  // namespace

Result<UnixListener> UnixListener::open(const std::string& path) {
    UnixListener self;
    self.path_ = path;
    std::error_code problem;
    if (const auto folder = std::filesystem::path(path).parent_path(); !folder.empty())
        std::filesystem::create_directories(folder, problem);
    if (problem) return fail_errno("the folder of " + path, problem.value());
    auto lock = take_lock(path);
    if (!lock) return std::unexpected(std::move(lock.error()));
    self.lock_ = std::move(*lock);
    if (auto done = self.bind_and_listen(); !done) return std::unexpected(std::move(done.error()));
    return self;
}

Result<> UnixListener::bind_and_listen() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path) return fail(path_ + " is too long for the name of a socket");
    path_.copy(address.sun_path, path_.size());
    struct stat status{};
    if (lstat(path_.c_str(), &status) == 0) {
        if (!S_ISSOCK(status.st_mode)) return fail(path_ + " is no socket: remove it, or set another path");
        if (is_served(address)) return fail(path_ + " is another program's, which runs: set another path");
        if (unlink(path_.c_str()) != 0) return fail_errno(path_, errno);
    }
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return fail_errno("a socket", errno);
    // Nobody else's at any moment, whatever the umask is.
    if (fchmod(fd.get(), mode_at_first) != 0 ||
        bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno(path_, errno);
    if (chmod(path_.c_str(), socket_mode) != 0) return fail_errno(path_, errno);
    if (lstat(path_.c_str(), &status) == 0)
        std::tie(device_, inode_) = std::pair(status.st_dev, status.st_ino);
    if (listen(fd.get(), backlog) != 0) return fail_errno(path_, errno);
    fd_ = std::move(fd);
    return {};
}

UnixListener::UnixListener(UnixListener&& other) noexcept
    : path_(std::move(other.path_)),
      lock_(std::move(other.lock_)),
      fd_(std::move(other.fd_)),
      device_(other.device_),
      inode_(std::exchange(other.inode_, 0)) {}

UnixListener& UnixListener::operator=(UnixListener&& other) noexcept {
    if (this == &other) return *this;
    remove_name();
    path_ = std::move(other.path_);
    lock_ = std::move(other.lock_);
    fd_ = std::move(other.fd_);
    device_ = other.device_;
    inode_ = std::exchange(other.inode_, 0);
    return *this;
}

UnixListener::~UnixListener() {
    remove_name();
}

void UnixListener::remove_name() {
    struct stat status{};
    // Not what somebody else has put there.
    if (inode_ != 0 && lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
        status.st_ino == inode_)
        unlink(path_.c_str());
    inode_ = 0;
}

}  // namespace tcptrail::serve
