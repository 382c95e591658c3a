// SPDX-License-Identifier: Apache-2.0
//
// A TCP relay on loopback that delivers each byte later: relay PORT TARGET_PORT DELAY_MS. Bytes of one
// direction stay in order, and as many may be on the way as come: it delays, it does not slow down. Runs
// until it is killed.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <list>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

// One way of a connection.
struct Way {
    int from, to;
    struct Piece {
        Clock::time_point due;
        std::string bytes;  // none: the end
    };
    std::deque<Piece> pieces;
    size_t written = 0;  // of the first
    bool read_all = false, wrote_all = false;
};

struct Connection {
    int ends[2];
    Way ways[2];
};

[[noreturn]] void die(const char* what) {
    perror(what);
    exit(1);
}

sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

void take(Way& way, std::chrono::milliseconds delay) {
    static std::vector<char> buffer(1 << 16);
    const ssize_t count = read(way.from, buffer.data(), buffer.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    way.read_all = count <= 0;
    way.pieces.push_back(
        {Clock::now() + delay, std::string(buffer.data(), static_cast<size_t>(std::max<ssize_t>(count, 0)))});
}

// What is due, as far as the receiver takes it.
void give(Way& way) {
    while (!way.pieces.empty() && way.pieces.front().due <= Clock::now()) {
        const std::string& bytes = way.pieces.front().bytes;
        if (bytes.empty()) {
            shutdown(way.to, SHUT_WR);
            way.wrote_all = true;
        } else {
            const ssize_t count =
                send(way.to, bytes.data() + way.written, bytes.size() - way.written, MSG_NOSIGNAL);
            if (count < 0 && errno == EAGAIN) return;
            if (count < 0) {
                way.read_all = way.wrote_all = true;
                way.pieces.clear();
                return;
            }
            way.written += static_cast<size_t>(count);
            if (way.written < bytes.size()) return;
        }
        way.written = 0;
        way.pieces.pop_front();
    }
}

}  // namespace

int main(int count, char** words) {
    if (count != 4) {
        fprintf(stderr, "usage: relay PORT TARGET_PORT DELAY_MS\n");
        return 2;
    }
    const std::chrono::milliseconds delay(atoi(words[3]));
    const sockaddr_in own = loopback(atoi(words[1])), target = loopback(atoi(words[2]));
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(listener, reinterpret_cast<const sockaddr*>(&own), sizeof(own)) != 0 ||
        listen(listener, 64) != 0)
        die("relay: listen");
    std::list<Connection> connections;
    for (;;) {
        std::vector<pollfd> waiting{{listener, POLLIN, 0}};
        for (Connection& connection : connections)
            for (Way& way : connection.ways)
                if (!way.read_all) waiting.push_back({way.from, POLLIN, 0});
        // What is due is looked at a hundred times a second.
        if (poll(waiting.data(), waiting.size(), connections.empty() ? -1 : 10) < 0) die("relay: poll");
        if (waiting[0].revents != 0) {
            const int client = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (client >= 0 &&
                connect(server, reinterpret_cast<const sockaddr*>(&target), sizeof(target)) == 0) {
                fcntl(server, F_SETFL, O_NONBLOCK);
                setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
                setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
                connections.push_back({{client, server}, {{client, server, {}}, {server, client, {}}}});
            } else {
                close(client);
                close(server);
            }
        }
        size_t at = 1;
        for (Connection& connection : connections)
            for (Way& way : connection.ways)
                if (!way.read_all && at < waiting.size() && waiting[at].fd == way.from &&
                    waiting[at++].revents != 0)
                    take(way, delay);
        for (auto connection = connections.begin(); connection != connections.end();) {
            for (Way& way : connection->ways)
                give(way);
            if (connection->ways[0].wrote_all && connection->ways[1].wrote_all) {
                for (const int end : connection->ends)
                    close(end);
                connection = connections.erase(connection);
            } else {
                ++connection;
            }
        }
    }
}
