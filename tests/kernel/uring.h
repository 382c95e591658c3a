// SPDX-License-Identifier: Apache-2.0
//
// Socket calls through io_uring, for the scripts of actors: one ring for one operation. Like the calls
// of sockets.h they return what the kernel returned, or -errno, and do not allocate or throw.
#pragma once

#include <string>

#include "tests/kernel/sockets.h"

namespace tcptrail::test {

// Who runs an operation: the caller itself as far as the kernel can, or a worker thread of its process.
enum class UringThread { caller, worker };

// The new socket, connected, or -errno with the socket closed.
int uring_connect(const Endpoint& to, UringThread thread);
int uring_accept(int listener, UringThread thread);
int uring_close(int fd, UringThread thread);

// Empty, or why this machine has no io_uring.
std::string why_no_uring();

}  // namespace tcptrail::test
