// SPDX-License-Identifier: Apache-2.0
//
// connect() and accept() as they return to the application: what is told by their results, and what must
// not be told a second time.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/sockets.h"
#include "tests/kernel/watch.h"

using namespace tcptrail::test;

namespace {

// A non-blocking attempt that has ended by the time it returns: the socket, or -errno.
int attempt(const Endpoint& to) {
    const int fd = socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(fd, to.address(), to.length) == 0 || errno != EINPROGRESS) return -errno;
    pollfd ready{fd, POLLOUT, 0};
    return poll(&ready, 1, 5000) == 1 ? fd : -ETIMEDOUT;
}

int errno_of_connect(int fd, const Endpoint& to) {
    return connect(fd, to.address(), to.length) == 0 ? 0 : errno;
}

std::vector<std::string> outcomes(const std::vector<Event>& told) {
    std::vector<std::string> names;
    for (const Event& event : told)
        names.push_back(event.text("outcome"));
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace

TEST_CASE("an error that a later connect() picks up was told when it came", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Netns net;
        Watch watch{&net};
        Actor client(net, "pickup-client");
        const Endpoint to = loopback(family, 8081);
        const int fd = client.call([=] { return attempt(to); });
        REQUIRE(fd >= 0);
        REQUIRE(client.call([=] { return errno_of_connect(fd, to); }) == ECONNREFUSED);
        CHECK(watch.one().text("outcome") == "OUTCOME_REFUSED");
    });
}

TEST_CASE("a connection that is reset before connect() is asked again is told once", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "hasty-server");
        Actor client(net, "slow-client");
        const int listener = listening(server, loopback(AF_INET));
        const Endpoint to = server.call([=] { return local_end(listener); });
        const int fd = client.call([=] { return attempt(to); });
        REQUIRE(fd >= 0);
        REQUIRE(server.call([=] { return close_with_reset(accept_one(listener)); }) == 0);
        REQUIRE(client.call([=] { return errno_of_connect(fd, to); }) == ECONNRESET);
        const Ends told = watch.ends();
        CHECK(told.client.text("outcome") == "OUTCOME_ESTABLISHED");
        CHECK(told.client.text("end") == "END_REMOTE_RESET");
    });
}

TEST_CASE("an address that is too short is no attempt", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor client(net, "short-client");
        const Endpoint to = endpoint("203.0.113.1", 80);
        REQUIRE(client.call([=] {
            return connect(socket(AF_INET, SOCK_STREAM, 0), to.address(), 7) == 0 ? 0 : errno;
        }) == EINVAL);
        REQUIRE(client.call([=] { return connect_to(to); }) == -ENETUNREACH);
        CHECK(watch.one().text("outcome") == "OUTCOME_NETWORK_UNREACHABLE");
    });
}

TEST_CASE("attempts after a disconnect are told, whatever came before", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor client(net, "again-client");
        const Endpoint refused = loopback(AF_INET, 8081), unreachable = endpoint("203.0.113.1", 80);
        const int fd = client.call([=] { return attempt(refused); });
        REQUIRE(fd >= 0);
        // The error is fetched by SO_ERROR, and the socket disconnected: no connect() returns it.
        REQUIRE(client.call([=] {
            int error = 0;
            socklen_t length = sizeof error;
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
            const sockaddr nothing{.sa_family = AF_UNSPEC, .sa_data = {}};
            return connect(fd, &nothing, sizeof nothing) == 0 ? error : -errno;
        }) == ECONNREFUSED);
        REQUIRE(client.call([=] { return errno_of_connect(fd, unreachable); }) == ENETUNREACH);
        CHECK(outcomes(watch.closed(2)) ==
              std::vector<std::string>{"OUTCOME_NETWORK_UNREACHABLE", "OUTCOME_REFUSED"});
    });
}

TEST_CASE("after its error was picked up the same socket's next attempt is one of its own", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor client(net, "reuse-client");
        const Endpoint refused = loopback(AF_INET, 8081), unreachable = endpoint("203.0.113.1", 80);
        const int fd = client.call([=] { return attempt(refused); });
        REQUIRE(fd >= 0);
        REQUIRE(client.call([=] { return errno_of_connect(fd, refused); }) == ECONNREFUSED);
        REQUIRE(client.call([=] { return errno_of_connect(fd, unreachable); }) == ENETUNREACH);
        REQUIRE(client.call([=] { return errno_of_connect(fd, unreachable); }) == ENETUNREACH);
        const std::vector<Event> told = watch.closed(3);
        CHECK(outcomes(told) == std::vector<std::string>{"OUTCOME_NETWORK_UNREACHABLE",
                                                         "OUTCOME_NETWORK_UNREACHABLE", "OUTCOME_REFUSED"});
        for (const Event& event : told)
            CHECK(event.number("process.pid") == client.pid());
    });
}

TEST_CASE("results of connect() that are no attempts are not told", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "misuse-server");
        Actor client(net, "misuse-client");
        const Connection made = establish(client, server, loopback(AF_INET));
        const Endpoint to = made.server_end;
        REQUIRE(client.call([=] { return errno_of_connect(made.client_fd, to); }) == EISCONN);
        REQUIRE(client.call([=] { return errno_of_connect(-1, to); }) == EBADF);
        REQUIRE(client.call([=] {
            int pipe_ends[2];
            if (pipe(pipe_ends) != 0) return errno;
            return errno_of_connect(pipe_ends[0], to);
        }) == ENOTSOCK);
        REQUIRE(client.call(
                    [=] { return errno_of_connect(socket(AF_UNIX, SOCK_STREAM, 0), to) == 0 ? 0 : 1; }) == 1);
        REQUIRE(client.call([=] {
            const int fd = socket(AF_INET, SOCK_DGRAM, 0);
            return errno_of_connect(fd, endpoint("203.0.113.1", 80));
        }) == ENETUNREACH);
        close_socket(client, made.client_fd);
        close_after_peer(server, made.server_fd);
        watch.ends();
    });
}

TEST_CASE("an IPv6 attempt without a route has its remote end", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor client(net, "route6-client");
        const Endpoint to = endpoint("2001:db8::1", 443);
        const int error = -client.call([=] { return connect_to(to); });
        REQUIRE((error == ENETUNREACH || error == EADDRNOTAVAIL));
        const Event told = watch.one();
        CHECK(told.text("outcome") ==
              (error == ENETUNREACH ? "OUTCOME_NETWORK_UNREACHABLE" : "OUTCOME_NO_LOCAL_PORT"));
        CHECK(told.number("error_number") == error);
        CHECK(told.text("family") == "FAMILY_IPV6");
        CHECK_FALSE(told.has("local_address"));
        CHECK(told.text("remote_address") == "2001:db8::1");
        CHECK(told.number("remote_port") == 443);
        CHECK(told.text("end") == "END_NOT_ESTABLISHED");
        CHECK(told.text("process.source") == "OWNER_SOURCE_CONNECT");
        CHECK_FALSE(told.has("connect_us"));
        CHECK_FALSE(told.has("segments_out"));
    });
}

TEST_CASE("capture.calls=off: what the results tell is missing, and nothing else", "[kernel]") {
    Observer observer({"--set", "capture.calls=off"});
    scenario([&] {
        Netns net;
        Watch watch({&net}, observer);
        Actor server(net, "off-server");
        Actor client(net, "off-client");
        REQUIRE(client.call([] { return connect_to(endpoint("203.0.113.1", 80)); }) == -ENETUNREACH);
        const Connection made = establish(client, server, loopback(AF_INET));
        close_socket(client, made.client_fd);
        close_after_peer(server, made.server_fd);
        const Ends told = watch.ends();
        CHECK(told.server.text("process.source") == "OWNER_SOURCE_LISTENER");
        CHECK(told.server.number("process.pid") == server.pid());
        CHECK_FALSE(told.server.has("accept_wait_us"));
    });
}
