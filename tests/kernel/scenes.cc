// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/scenes.h"

#include <unistd.h>

#include "tests/catch.h"

namespace tcptrail::test {

Endpoint loopback(int family, uint16_t port) {
    return endpoint(family == AF_INET ? "127.0.0.1" : "::1", port);
}

Endpoint veth_end(int family, uint16_t port) {
    return endpoint(family == AF_INET ? "10.76.0.2" : "fd76::2", port);
}

int listening(Actor& server, const Endpoint& at, int backlog) {
    const int listener = server.call([=] { return listen_on(at, backlog); });
    REQUIRE(listener >= 0);
    return listener;
}

void transfer(Actor& from, int from_fd, Actor& to, int to_fd, size_t bytes) {
    from.start([=] { return send_bytes(from_fd, bytes); });
    REQUIRE(to.call([=] { return receive_bytes(to_fd, bytes); }) == 0);
    REQUIRE(from.finish<int>() == 0);
    REQUIRE(from.call([=] { return await_acknowledged(from_fd); }) == 0);
}

void exchange(Actor& client, Actor& server, const Connection& connection, size_t request, size_t response) {
    transfer(client, connection.client_fd, server, connection.server_fd, request);
    transfer(server, connection.server_fd, client, connection.client_fd, response);
}

void close_socket(Actor& who, int fd) {
    REQUIRE(who.call([=] { return close(fd); }) == 0);
}

void close_after_peer(Actor& who, int fd) {
    REQUIRE(who.call([=] { return read_to_end(fd); }) == 0);
    close_socket(who, fd);
}

void burst(Actor& client, Actor& server, int count) {
    const int listener = listening(server, loopback(AF_INET), 4096);
    const Endpoint at = server.call([=] { return local_end(listener); });
    server.start([=] {
        for (int i = 0; i < count; ++i) {
            const int fd = accept_one(listener);
            if (fd < 0 || read_to_end(fd) != 0) return -1;
            close(fd);
        }
        return close(listener);
    });
    const int result = client.call([=] {
        for (int i = 0; i < count; ++i) {
            const int fd = connect_to(at);
            if (fd < 0) return fd;
            close(fd);
        }
        return 0;
    });
    REQUIRE(result == 0);
    REQUIRE(server.finish<int>() == 0);
}

void await(Actor& who, int fd, uint8_t state) {
    REQUIRE(who.call([=] { return await_state(fd, state); }) == 0);
}

}  // namespace tcptrail::test
