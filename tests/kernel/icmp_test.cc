// SPDX-License-Identifier: Apache-2.0
//
// ICMP that comes while connect() still holds the socket: case 9 where the router is as near as a pod's node.
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/netns.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/watch.h"

using namespace tcptrail::test;

namespace {

// What the application is told once it is woken.
int fetch_error(int fd) {
    pollfd what{fd, POLLOUT, 0};
    if (poll(&what, 1, 5000) != 1) return -1;
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    return error;
}

struct Attempt {
    int error = 0;      // as SO_ERROR has it, where it is asked
    uint8_t state = 0;  // when it was closed
};

// A connect() that does not wait, and close().
Attempt attempt(const Endpoint& to, bool asks) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    Attempt made;
    if (connect(fd, to.address(), to.length) != 0 && errno != EINPROGRESS) made.error = -errno;
    if (asks) made.error = fetch_error(fd);
    struct tcp_info info{};
    socklen_t length = sizeof info;
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
    made.state = info.tcpi_state;
    close(fd);
    return made;
}

// A router that has no way to 203.0.113.0/24, and says so at once: in the call that sends the SYN.
struct Routed {
    Netns client, router;

    Routed() {
        join_by_veth(client, router);
        router.sysctl("net.ipv4.ip_forward", "1");
        router.ip("route add unreachable 203.0.113.0/24");
        client.ip("route add 203.0.113.0/24 via 10.76.0.2");
    }
};

}  // namespace

TEST_CASE("case 9: ICMP comes while connect() holds the socket", "[kernel]") {
    const bool asks = GENERATE(true, false);
    INFO((asks ? "the application asks" : "nobody asks"));
    scenario([=] {
        Routed routed;
        Watch watch{&routed.client};
        Actor client(routed.client, "soft-client");
        const Endpoint to = endpoint("203.0.113.1", 80);
        const Attempt made = client.call([=] { return attempt(to, asks); });
        const Event told = watch.one();
        INFO(told.line);
        CHECK(told.text("end") == "END_NOT_ESTABLISHED");
        CHECK_FALSE(told.has("reset"));
        // Where softirqs are late it finds the socket free, and ends the attempt, whoever asks.
        const bool is_soft = made.state == tcp_state::syn_sent;
        if (asks) CHECK(made.error == EHOSTUNREACH);
        if (asks || !is_soft) {
            CHECK(told.text("outcome") == "OUTCOME_HOST_UNREACHABLE");
            CHECK(told.text("error") == "EHOSTUNREACH");
            CHECK_FALSE(told.has("ended_by"));
        } else {
            CHECK(told.text("outcome") == "OUTCOME_ABANDONED");
            CHECK_FALSE(told.has("error"));
            CHECK(told.number("ended_by.pid") == static_cast<uint64_t>(client.pid()));
        }
    });
}
