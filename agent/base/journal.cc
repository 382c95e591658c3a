// SPDX-License-Identifier: Apache-2.0
#include "agent/base/journal.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace tcptrail {

bool is_journal_stderr() {
    const char* stream = std::getenv("JOURNAL_STREAM");
    struct stat status{};
    if (stream == nullptr || fstat(STDERR_FILENO, &status) != 0) return false;
    return fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

JournalSocket::Outcome JournalSocket::send(std::string_view entry) {
    if (!socket_.valid()) socket_.reset(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    // Not connected: a journald that is started anew has another socket there.
    constexpr sockaddr_un address{AF_UNIX, "/run/systemd/journal/socket"};
    const ssize_t sent = sendto(socket_.get(), entry.data(), entry.size(), MSG_NOSIGNAL,
                                reinterpret_cast<const sockaddr*>(&address), sizeof address);
    if (sent >= 0) return Outcome::sent;
    return errno == EAGAIN || errno == ENOBUFS ? Outcome::busy : Outcome::absent;
}

}  // namespace tcptrail
