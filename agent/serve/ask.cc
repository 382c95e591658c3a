// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <chrono>

#include "agent/base/clock.h"
#include "agent/serve/local_socket.h"

namespace tcptrail::serve {

namespace {

std::unexpected<Error> nobody(const std::string& path, int number) {
    auto problem = fail_errno("no agent serves " + path, number);
    const bool refused = number == EACCES || number == EPERM;
    problem.error().message += refused ? "; root and the agent's own user and group may ask"
                                       : "; is it running, with this serve.socket?";
    problem.error().code = refused ? ExitCode::no_permission : ExitCode::unavailable;
    return problem;
}

std::unexpected<Error> silent(const std::string& path) {
    return fail("the agent at " + path + " does not answer; if that lasts, restart it");
}

}  // namespace

Result<std::string> ask(const std::string& path, std::chrono::milliseconds timeout) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return fail(path + " is too long for the name of a socket", ExitCode::usage);
    path.copy(address.sun_path, path.size());
    const auto until = monotonic_nanos() + static_cast<uint64_t>(std::chrono::nanoseconds(timeout).count());
    const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return fail_errno("a socket", errno);
    // So long connect() waits in a queue that is full. EAGAIN: the agent has taken nobody out of it.
    const timeval most{timeout.count() / 1000, timeout.count() % 1000 * 1000};
    if (setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most) != 0)
        return fail_errno("a socket", errno);
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return errno == EAGAIN ? silent(path) : nobody(path, errno);

    std::string text;
    std::array<char, 1 << 16> buffer{};
    for (;;) {
        const uint64_t now = monotonic_nanos();
        pollfd waiting{fd.get(), POLLIN, 0};
        const int ready =
            now < until ? poll(&waiting, 1, static_cast<int>((until - now) / 1'000'000) + 1) : 0;
        if (ready < 0 && errno != EINTR) return fail_errno("poll", errno);
        if (ready == 0) return silent(path);
        const ssize_t got = recv(fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (got == 0) break;
        if (got > 0)
            text.append(buffer.data(), static_cast<size_t>(got));
        else if (errno != EAGAIN && errno != EINTR)
            return fail_errno("the agent at " + path, errno);
    }
    if (text.empty()) return fail("the agent at " + path + " ended without an answer; its log says why");
    return text;
}

}  // namespace tcptrail::serve
