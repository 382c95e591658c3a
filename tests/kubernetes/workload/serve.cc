// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "tests/kubernetes/workload/modes.h"
#include "tests/kubernetes/workload/oracle.h"

namespace workload {
namespace {

std::atomic<int> open_connections = 0;

// How the connection ended, seen from here, when reading has brought no more.
const char* end_by_peer(Line& line) {
    if (errno == 0) return "REMOTE_CLOSE";
    line.error = errno;
    if (errno == ECONNRESET || errno == EPIPE) return "REMOTE_RESET";
    return "LOCAL_CLOSE";  // given up, or stopped
}

void answer(int fd, Line line, const char* text) {
    char byte = 0;
    if (read_all(fd, &line.plan, 1) != 1) {
        line.end = end_by_peer(line);
    } else if (send(fd, text, answer_size, MSG_NOSIGNAL) < 0) {
        line.end = end_by_peer(line);
    } else if (line.plan == 's') {
        line.end = "LOCAL_CLOSE";
    } else if (read_all(fd, &byte, 1, line.plan == 'h') != 1) {
        line.end = end_by_peer(line);
    } else {  // R: it has read the answer
        line.end = "LOCAL_RESET";
        reset(fd);
        fd = -1;
    }
    if (fd >= 0) close(fd);
    line.ended = unix_nanos();
    write_line(line);
    --open_connections;
}

void accept_one(int listener, const char* text) {
    Line line{.role = "SERVER"};
    socklen_t size = sizeof line.remote;
    const int fd = accept4(listener, reinterpret_cast<sockaddr*>(&line.remote), &size, SOCK_CLOEXEC);
    if (fd < 0) return;
    line.opened = unix_nanos();
    size = sizeof line.local;
    getsockname(fd, reinterpret_cast<sockaddr*>(&line.local), &size);
    ++open_connections;
    std::thread(answer, fd, line, text).detach();
}

}  // namespace

int serve(int port) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in local{};
    local.sin_family = AF_INET;
    local.sin_port = htons(static_cast<uint16_t>(port));
    if (bind(listener, reinterpret_cast<sockaddr*>(&local), sizeof local) != 0) fail("bind");
    if (listen(listener, 4096) != 0) fail("listen");

    static char text[answer_size];
    const std::string address = setting("POD_IP") + ":" + std::to_string(port);
    std::memcpy(text, address.data(), std::min(address.size(), sizeof text - 1));

    pollfd ready{listener, POLLIN, 0};
    while (!stopping) {
        if (poll(&ready, 1, 100) > 0) accept_one(listener, text);
    }
    // Those that the kernel has established are still answered, but for a flood.
    for (int i = 0; i < 4096 && poll(&ready, 1, 0) > 0; i++)
        accept_one(listener, text);
    close(listener);
    for (int i = 0; i < 30 && open_connections > 0; i++)
        usleep(100'000);
    return 0;
}

}  // namespace workload
