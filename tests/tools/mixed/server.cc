// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>
#include <unistd.h>

#include <cerrno>

#include "tests/tools/mixed/actors.h"

namespace mix {
namespace {

constexpr size_t most_bytes = 256;

Socket listen_at(const Address& at) {
    Socket listener(at.family());
    const int on = 1;
    // The port was another group's before.
    setsockopt(listener.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener.fd(), at.get(), at.size) != 0) fail("bind");
    if (listen(listener.fd(), 64) != 0) fail("listen");
    return listener;
}

// Does what the request says, and adds what it was to `end`.
void answer(Socket& socket, End& end) {
    unsigned char bytes[most_bytes] = {};
    socket.receive(bytes, 2);
    end.fate = static_cast<Fate>(bytes[0]);
    const size_t size = bytes[1];
    end.received = 2 + size;
    if (end.fate != Fate::server_leaves_unread) socket.receive(bytes, size);
    if (end.fate == Fate::client_shuts_down) socket.expect_end();
    if (is_answered(end.fate)) {
        socket.send(bytes, size);
        end.sent = size;
    }
    if (end.fate == Fate::client_closes) socket.expect_end();
    if (end.fate == Fate::client_resets || end.fate == Fate::client_resets_early) {
        socket.expect_reset();
        end.error = ECONNRESET;
    }
    if (end.fate == Fate::server_resets) socket.reset();
}

void accept_one(const Socket& listener, const Process& owner, Oracle& oracle) {
    End end = {.fate = {}, .local = {}, .remote = {}, .listener = owner};
    Socket socket = Socket::adopt(accept4(listener.fd(), end.remote.get(), &end.remote.size, SOCK_CLOEXEC));
    if (socket.fd() < 0) fail("accept");
    end.opened_unix_nanos = unix_nanos();
    end.local = socket.local();
    answer(socket, end);
    oracle.add_server(end);
}

}  // namespace

void run_server(const Scene& scene, int ready) {
    const Group& group = scene.group;
    const Namespace& netns = scene.world.of_servers(group.place);
    const std::string number = std::to_string(scene.number);
    World::enter(netns);
    const Process self = become("server-" + number);
    const Socket listener = listen_at(World::listening(group.place, group.family, scene.port));
    const unsigned total = group.established();
    const auto serve = [&](const Process& acceptor, unsigned count) {
        Oracle oracle(scene.oracle, acceptor, netns.inode);
        for (unsigned i = 0; i < count; i++)
            accept_one(listener, self, oracle);
        oracle.flush();
    };

    std::vector<pid_t> workers;
    for (unsigned i = 0; i < group.workers; i++) {
        const unsigned share = total / group.workers + (i < total % group.workers ? 1 : 0);
        workers.push_back(spawn([&serve, &number, i, share] {
            serve(become("worker-" + number + '.' + std::to_string(i)), share);
        }));
    }
    if (write(ready, "", 1) != 1) fail("write");
    if (workers.empty()) serve(self, total);
    await(workers);
}

}  // namespace mix
