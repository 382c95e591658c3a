// SPDX-License-Identifier: Apache-2.0
//
// What most scenarios do. Each function REQUIREs that its system calls succeed.
#pragma once

#include <cstddef>

#include "tests/kernel/actors.h"
#include "tests/kernel/sockets.h"

namespace tcptrail::test {

Endpoint loopback(int family, uint16_t port = 0);

// The side of join_by_veth's second namespace.
Endpoint veth_end(int family, uint16_t port = 0);

// A socket that listens, in the actor.
int listening(Actor& server, const Endpoint& at, int backlog = 128);

// Sends so many bytes and waits until the other has read them and the sender knows.
void transfer(Actor& from, int from_fd, Actor& to, int to_fd, size_t bytes);

// A request of the client's and a response of the server's.
void exchange(Actor& client, Actor& server, const Connection& connection, size_t request, size_t response);

void close_socket(Actor& who, int fd);

// Waits until the peer's FIN has come and been read, then closes.
void close_after_peer(Actor& who, int fd);

// So many connections, one after another, each closed by the client at once; the server closes each
// after it.
void burst(Actor& client, Actor& server, int count);

void await(Actor& who, int fd, uint8_t state);

}  // namespace tcptrail::test
