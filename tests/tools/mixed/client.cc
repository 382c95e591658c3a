// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "tests/tools/mixed/actors.h"

namespace mix {
namespace {

// Enough for a request and an answer; all zero.
constexpr size_t most_bytes = 256;

class Client {
public:
    Client(const Scene& scene, unsigned client)
        : scene_(scene),
          place_(scene.group.place),
          oracle_(scene.oracle,
                  become("client-" + std::to_string(scene.number) + '.' + std::to_string(client)),
                  scene.world.of_clients(place_).inode) {
        World::enter(scene.world.of_clients(place_));
    }

    void make(const Attempt& attempt) {
        if (is_established(attempt.fate))
            establish(attempt);
        else if (attempt.fate == Fate::abandoned)
            abandon(attempt);
        else
            fail_at_once(attempt);
    }

    void wait_for_all(std::span<const Attempt> attempts);
    void finish() { oracle_.flush(); }

private:
    void establish(const Attempt& attempt);
    void fail_at_once(const Attempt& attempt);
    void abandon(const Attempt& attempt);
    int converse(Socket& socket, const Attempt& attempt);
    Address destination(const Attempt& attempt) const {
        return World::failing(place_, scene_.group.family, attempt);
    }

    const Scene& scene_;
    Place place_;
    Oracle oracle_;
};

void Client::establish(const Attempt& attempt) {
    End end = {.fate = attempt.fate,
               .local = {},
               .remote = World::server(place_, scene_.group.family, scene_.port),
               .listener = {}};
    Socket socket(end.remote.family());
    end.opened_unix_nanos = unix_nanos();
    errno = socket.connect(end.remote, attempt.non_blocking());
    if (errno != 0) fail("connect");
    end.local = socket.local();
    end.sent = size_t{2} + attempt.answer_bytes();
    end.received = is_answered(attempt.fate) ? attempt.answer_bytes() : 0;
    end.error = converse(socket, attempt);
    oracle_.add_client(end);
}

// errno as it ended for this side.
int Client::converse(Socket& socket, const Attempt& attempt) {
    unsigned char bytes[most_bytes] = {static_cast<unsigned char>(attempt.fate), attempt.answer_bytes()};
    socket.send(bytes, size_t{2} + attempt.answer_bytes());
    if (attempt.fate == Fate::client_shuts_down && shutdown(socket.fd(), SHUT_WR) != 0) fail("shutdown");
    if (is_answered(attempt.fate)) socket.receive(bytes, attempt.answer_bytes());
    switch (attempt.fate) {
        case Fate::client_shuts_down:
        case Fate::server_closes:
            socket.expect_end();
            break;
        case Fate::client_resets_early:
            socket.await_acknowledged();
            socket.reset();
            break;
        case Fate::client_resets:
            socket.reset();
            break;
        case Fate::server_resets:
        case Fate::server_leaves_unread:
            socket.expect_reset();
            return ECONNRESET;
        default:
            break;
    }
    return 0;
}

void Client::fail_at_once(const Attempt& attempt) {
    End end = {.fate = attempt.fate, .local = {}, .remote = destination(attempt), .listener = {}};
    const Socket socket(end.remote.family());
    end.opened_unix_nanos = unix_nanos();
    end.error = socket.connect(end.remote, attempt.non_blocking());
    if (end.error == 0) throw std::runtime_error("connected to nobody");
    end.local = socket.local();
    oracle_.add_client(end);
}

void Client::abandon(const Attempt& attempt) {
    End end = {.fate = attempt.fate, .local = {}, .remote = destination(attempt), .listener = {}};
    const Socket socket(end.remote.family());
    end.opened_unix_nanos = unix_nanos();
    errno = socket.begin_connect(end.remote);
    if (errno != EINPROGRESS) fail("connect to a silent address");
    end.local = socket.local();
    if (attempt.second_variety()) usleep(2000);
    oracle_.add_client(end);
}

void Client::wait_for_all(std::span<const Attempt> attempts) {
    std::vector<Socket> sockets;
    std::vector<End> ends;
    for (const Attempt& attempt : attempts) {
        End end = {.fate = attempt.fate, .local = {}, .remote = destination(attempt), .listener = {}};
        Socket socket(end.remote.family());
        end.opened_unix_nanos = unix_nanos();
        errno = socket.begin_connect(end.remote);
        if (errno != EINPROGRESS) fail("connect to a silent address");
        end.local = socket.local();
        sockets.push_back(std::move(socket));
        ends.push_back(end);
    }
    for (size_t i = 0; i < sockets.size(); i++) {
        pollfd over = {.fd = sockets[i].fd(), .events = POLLOUT, .revents = 0};
        if (poll(&over, 1, 60'000) != 1) throw std::runtime_error("an unanswered SYN does not time out");
        ends[i].error = sockets[i].pending_error();
        oracle_.add_client(ends[i]);
    }
}

}  // namespace

void run_client(const Scene& scene, unsigned client, std::span<const Attempt> attempts) {
    Client process(scene, client);
    for (const Attempt& attempt : attempts)
        process.make(attempt);
    process.finish();
}

void run_waiting_client(const Scene& scene, unsigned client, std::span<const Attempt> attempts) {
    Client process(scene, client);
    process.wait_for_all(attempts);
    process.finish();
}

}  // namespace mix
