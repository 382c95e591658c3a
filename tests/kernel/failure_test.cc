// SPDX-License-Identifier: Apache-2.0
//
// Attempts that were not established: cases 5 to 13.
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/cgroup.h"
#include "tests/kernel/record.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/timing.h"
#include "tests/kernel/watch.h"
#include "tests/kernel/wire.h"

using namespace tcptrail::test;

namespace {

constexpr uint64_t minute_us = 60'000'000;
constexpr uint16_t nobody = 99;  // a port on which no one listens

void stay_on_processor(int number) {
    cpu_set_t processors;
    CPU_ZERO(&processors);
    CPU_SET(number, &processors);
    sched_setaffinity(0, sizeof processors, &processors);
}

}  // namespace

TEST_CASE("case 5: refused", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Netns net;
        Watch watch{&net};
        Actor client(net, "refused-client", {.uid = 65534});
        const Endpoint to = loopback(family, nobody);
        REQUIRE(client.call([=] { return connect_to(to); }) == -ECONNREFUSED);

        Record record = Record::failed(client, address_text(to), to, "OUTCOME_REFUSED");
        record.error(ECONNREFUSED).reset_received("SYN_SENT").between("lifetime_us", 1, minute_us);
        record.is("segments_in", 1);
        CHECK(record.differences(watch.one()) == "");
    });
}

TEST_CASE("case 5: refused by another host, non-blocking", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Wire wire;
        Watch watch{&wire.client(), &wire.server()};
        Actor client(wire.client(), "refused-client");
        const Endpoint to = Wire::server_end(family, nobody);
        const int error = client.call([=] {
            const int fd = socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK, 0);
            if (connect(fd, to.address(), to.length) == 0 || errno != EINPROGRESS) return -errno;
            pollfd ready{fd, POLLOUT, 0};
            poll(&ready, 1, 5000);
            int reported = 0;
            socklen_t size = sizeof reported;
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &reported, &size);
            close(fd);
            return reported;
        });
        REQUIRE(error == ECONNREFUSED);

        Record record =
            Record::failed(client, address_text(Wire::client_end(family, 0)), to, "OUTCOME_REFUSED");
        record.error(ECONNREFUSED).reset_received("SYN_SENT").between("lifetime_us", 1, minute_us);
        record.is("segments_in", 1);
        CHECK(record.differences(watch.one()) == "");
    });
}

TEST_CASE("case 6: nobody answers the SYN and the kernel gives up", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Wire wire;
        wire.client().sysctl("net.ipv4.tcp_syn_retries", "1");
        wire.rules().drop_to_server = true;
        Watch watch{&wire.client()};
        Actor client(wire.client(), "syn-client");
        const Endpoint to = Wire::server_end(family, 80);
        const uint64_t begin = unix_nanos();
        REQUIRE(client.call([=] { return connect_to(to); }) == -ETIMEDOUT);
        const uint64_t waited_us = (unix_nanos() - begin) / 1000;
        // Kernels differ in what the setting means exactly; the wire saw each SYN.
        const uint64_t retries = wire.rules().tcp_to_server - 1;
        REQUIRE(retries >= 1);

        Record record =
            Record::failed(client, address_text(Wire::client_end(family, 0)), to, "OUTCOME_TIMED_OUT");
        record.error(ETIMEDOUT).between("lifetime_us", waited_us / 2, waited_us);
        record.is("syn_retransmits", retries).is("retransmits", retries).is("segments_out", 1 + retries);
        record.between("retransmit_first_us", 900'000, waited_us - 500'000);
        record.between("retransmit_last_us", 900'000, waited_us - 500'000);
        record.any("lost").any("rto_count").any("ssthresh");
        CHECK(record.differences(watch.one()) == "");
    });
}

TEST_CASE("case 6: the timeouts of an unanswered SYN are counted", "[kernel]") {
    scenario([] {
        Wire wire;
        wire.client().sysctl("net.ipv4.tcp_syn_retries", "1");
        wire.rules().drop_to_server = true;
        Watch watch{&wire.client()};
        Actor client(wire.client(), "syn-client");
        const Endpoint to = Wire::server_end(AF_INET, 80);
        REQUIRE(client.call([=] { return connect_to(to); }) == -ETIMEDOUT);
        const Event told = watch.one();
        if (kernel_counts_timeouts())
            CHECK(told.number("rto_count") == wire.rules().tcp_to_server - 1);
        else
            CHECK_FALSE(told.has("rto_count"));
    });
}

TEST_CASE("case 6: the application asks for the error while the kernel gives up", "[kernel]") {
    // SO_ERROR takes no lock: it can take the error away before the socket is closed.
    constexpr int attempts = 200;
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) SKIP_TEST("one processor: nobody can ask meanwhile");
    scenario([=] {
        Netns net;
        net.sysctl("net.ipv4.tcp_syn_retries", "1");
        // What goes to loopback without being local is discarded in silence.
        net.ip("route add 10.90.0.0/16 dev lo src 127.0.0.1");
        Watch watch{&net};
        Actor client(net, "asking-client");
        const Endpoint to = endpoint("10.90.0.1", 80);
        const int timed_out = client.call([=] {
            int sockets[attempts];
            const unsigned patience_ms = 1500;
            stay_on_processor(0);  // where the timers will fire
            for (int& fd : sockets) {
                fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
                setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms, sizeof patience_ms);
                if (connect(fd, to.address(), to.length) == 0 || errno != EINPROGRESS) return -errno;
            }
            stay_on_processor(1);
            int count = 0;
            // In the order in which the kernel gives them up.
            for (const int fd : sockets) {
                int error = 0;
                while (error == 0) {
                    socklen_t size = sizeof error;
                    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
                }
                if (error == ETIMEDOUT) ++count;
            }
            for (const int fd : sockets)
                close(fd);
            return count;
        });
        REQUIRE(timed_out == attempts);

        int wrong = 0;
        for (const Event& told : watch.closed(attempts)) {
            const bool right = told.text("outcome") == "OUTCOME_TIMED_OUT" &&
                               told.number("error_number") == ETIMEDOUT && !told.has("ended_by.pid");
            if (!right) ++wrong;
        }
        CHECK(wrong == 0);
    });
}

TEST_CASE("case 7: the application gives up on a pending connect", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        constexpr uint64_t patience_us = 300'000;
        Wire wire;
        wire.rules().drop_to_server = true;
        Watch watch{&wire.client()};
        Actor client(wire.client(), "patient-client");
        const Endpoint to = Wire::server_end(family, 80);
        const int polled = client.call([=] {
            const int fd = socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK, 0);
            if (connect(fd, to.address(), to.length) == 0 || errno != EINPROGRESS) return -errno;
            pollfd ready{fd, POLLOUT, 0};
            const int result = poll(&ready, 1, patience_us / 1000);
            close(fd);
            return result;
        });
        REQUIRE(polled == 0);

        Record record =
            Record::failed(client, address_text(Wire::client_end(family, 0)), to, "OUTCOME_ABANDONED");
        record.ended_by(client).between("lifetime_us", patience_us, minute_us);
        CHECK(record.differences(watch.one()) == "");
    });
}

TEST_CASE("case 8: a signal interrupts a blocking connect, which is then closed", "[kernel]") {
    scenario([] {
        Wire wire;
        wire.rules().drop_to_server = true;
        Watch watch{&wire.client()};
        Actor client(wire.client(), "signal-client");
        const Endpoint to = Wire::server_end(AF_INET, 80);
        client.start([=] {
            struct sigaction action{};
            action.sa_handler = [](int) {};  // without SA_RESTART: connect returns
            sigaction(SIGUSR1, &action, nullptr);
            return connect_to(to);
        });
        sleep_ms(200);
        kill(client.pid(), SIGUSR1);
        REQUIRE(client.finish<int>() == -EINTR);

        Record record = Record::failed(client, "10.77.0.1", to, "OUTCOME_ABANDONED");
        // Where the result of connect() is observed, it was EINTR.
        record.any("error_number").any("error");
        record.ended_by(client).between("lifetime_us", 100'000, minute_us);
        const Event told = watch.one();
        CHECK(record.differences(told) == "");
        CHECK(told.number("error_number").value_or(EINTR) == EINTR);
    });
}

TEST_CASE("case 9: a router answers the SYN with ICMP", "[kernel]") {
    struct Answer {
        const char* name;
        int family;
        uint32_t code;
        int error;
        const char* outcome;
    };
    // What the application gets is the kernel's choice (icmp_err_convert, icmpv6_err_convert).
    const Answer answer =
        GENERATE(Answer{"net unreachable", AF_INET, 0, ENETUNREACH, "OUTCOME_NETWORK_UNREACHABLE"},
                 Answer{"host unreachable", AF_INET, 1, EHOSTUNREACH, "OUTCOME_HOST_UNREACHABLE"},
                 Answer{"port unreachable", AF_INET, 3, ECONNREFUSED, "OUTCOME_REFUSED"},
                 Answer{"administratively prohibited", AF_INET, 13, EHOSTUNREACH, "OUTCOME_HOST_UNREACHABLE"},
                 Answer{"no route, IPv6", AF_INET6, 0, ENETUNREACH, "OUTCOME_NETWORK_UNREACHABLE"},
                 Answer{"administratively prohibited, IPv6", AF_INET6, 1, EACCES, "OUTCOME_DENIED"},
                 Answer{"address unreachable, IPv6", AF_INET6, 3, EHOSTUNREACH, "OUTCOME_HOST_UNREACHABLE"},
                 Answer{"port unreachable, IPv6", AF_INET6, 4, ECONNREFUSED, "OUTCOME_REFUSED"});
    INFO(answer.name);
    scenario([=] {
        Wire wire;
        wire.rules().unreachable = 1 + answer.code;
        Watch watch{&wire.client(), &wire.server()};
        Actor client(wire.client(), "icmp-client");
        const Endpoint to = Wire::server_end(answer.family, 80);
        REQUIRE(client.call([=] { return connect_to(to); }) == -answer.error);

        // No reset: the record must not say that there was one.
        Record record =
            Record::failed(client, address_text(Wire::client_end(answer.family, 0)), to, answer.outcome);
        record.error(answer.error).between("lifetime_us", 1, minute_us);
        // An ICMP message that finds the socket locked goes unheard; the next SYN brings another.
        if (wire.rules().tcp_to_server > 1) {
            const uint64_t again = wire.rules().tcp_to_server - 1;
            record.is("segments_out", 1 + again).is("retransmits", again).is("syn_retransmits", again);
            record.present("retransmit_first_us").present("retransmit_last_us").any("lost").any("rto_count");
            record.any("ssthresh");
            record.between("lifetime_us", 1, minute_us);
        }
        CHECK(record.differences(watch.one()) == "");
    });
}

TEST_CASE("case 10: the host's own routes refuse before a SYN is sent", "[kernel]") {
    struct Route {
        const char* kind;
        int error;
        const char* outcome;
    };
    const Route route =
        GENERATE(Route{"", ENETUNREACH, "OUTCOME_NETWORK_UNREACHABLE"},
                 Route{"unreachable", EHOSTUNREACH, "OUTCOME_HOST_UNREACHABLE"},
                 Route{"prohibit", EACCES, "OUTCOME_DENIED"}, Route{"blackhole", EINVAL, "OUTCOME_OTHER"});
    INFO("route: " << route.kind);
    scenario([=] {
        Netns net;
        if (*route.kind != '\0') net.ip(std::string("route add ") + route.kind + " 203.0.113.0/24");
        Watch watch{&net};
        Actor client(net, "route-client");
        const Endpoint to = endpoint("203.0.113.1", 80);
        REQUIRE(client.call([=] { return connect_to(to); }) == -route.error);

        const Event told = watch.one();
        CHECK(told.text("outcome") == route.outcome);
        CHECK(told.number("error_number") == route.error);
        CHECK(told.text("error") == strerrorname_np(route.error));
        CHECK(told.text("end") == "END_NOT_ESTABLISHED");
        CHECK(told.text("remote_address") == "203.0.113.1");
        CHECK(told.number("remote_port") == 80);
        CHECK(told.text("remote_scope") == "SCOPE_PUBLIC");
        CHECK(told.number("process.pid") == client.pid());
        CHECK(told.text("process.name") == client.name());
        CHECK(told.number("netns") == net.inode());
        CHECK_FALSE(told.has("connect_us"));
        CHECK(told.number("segments_out").value_or(0) == 0);
    });
}

TEST_CASE("case 11: no local port is left", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Netns net;
        net.sysctl("net.ipv4.ip_local_port_range", "40000 40001");
        Watch watch{&net};
        Actor server(net, "port-server");
        Actor client(net, "port-client");
        const int listener = listening(server, loopback(family, 80));
        const Connection first = establish(client, server, listener);
        const Connection second = establish(client, server, listener);
        const Endpoint to = loopback(family, 80);
        REQUIRE(client.call([=] { return connect_to(to); }) == -EADDRNOTAVAIL);

        Record record = Record::failed(client, address_text(to), to, "OUTCOME_NO_LOCAL_PORT");
        record.error(EADDRNOTAVAIL).absent("local_port").between("lifetime_us", 0, minute_us);
        // Nothing was sent: there is nothing to count.
        for (const char* count : {"segments_out", "retransmits", "syn_retransmits"})
            record.zero_or_absent(count);
        CHECK(record.differences(watch.one()) == "");

        for (const Connection& made : {first, second}) {
            close_socket(client, made.client_fd);
            close_after_peer(server, made.server_fd);
        }
        watch.closed(5);
    });
}

TEST_CASE("case 12: a cgroup's BPF program denies the connect", "[kernel]") {
    scenario([] {
        Netns net;
        const CgroupFolder cgroup("denied");
        cgroup.deny_connect4();
        Watch watch{&net};
        Actor client(net, "denied-client", {.uid = 0, .cgroup_folder = cgroup.path()});
        const Endpoint to = loopback(AF_INET, 80);
        REQUIRE(client.call([=] { return connect_to(to); }) == -EPERM);

        const Event told = watch.one();
        CHECK(told.text("outcome") == "OUTCOME_DENIED");
        CHECK(told.number("error_number") == EPERM);
        CHECK(told.text("error") == "EPERM");
        CHECK(told.text("end") == "END_NOT_ESTABLISHED");
        CHECK(told.text("remote_address") == "127.0.0.1");
        CHECK(told.number("remote_port") == 80);
        CHECK(told.number("process.pid") == client.pid());
        CHECK(told.text("process.cgroup_path") == client.cgroup_path());
    });
}

TEST_CASE("case 13: a bind to a port in use is no connection", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "bind-server");
        const int listener = listening(server, loopback(AF_INET));
        const Endpoint taken = server.call([=] { return local_end(listener); });
        REQUIRE(server.call([=] { return listen_on(taken); }) == -EADDRINUSE);
        watch.closed(0);
    });
}
