// SPDX-License-Identifier: Apache-2.0
//
// Connections that end by a reset, or by force: cases 14, 15, 16, 20, 21, 26.
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/record.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/watch.h"
#include "tests/kernel/wire.h"

using namespace tcptrail::test;

namespace {

constexpr uint64_t second_us = 1'000'000;
constexpr uint64_t minute_us = 60 * second_us;

// Case 16: a pooled connection lies idle for two seconds; the server closes it; the client writes.
struct StaleWrite {
    Ends told;
    Record client;
    Record server;
};

StaleWrite write_to_closed_connection() {
    Netns net;
    Watch watch{&net};
    Actor server(net, "idle-server");
    Actor client(net, "stale-client");
    const Connection made = establish(client, server, loopback(AF_INET));
    exchange(client, server, made, 300, 400);
    sleep_ms(2000);
    close_socket(server, made.server_fd);
    await(client, made.client_fd, tcp_state::close_wait);
    REQUIRE(client.call([=] { return send_bytes(made.client_fd, 50); }) == 0);
    await(client, made.client_fd, tcp_state::close);
    const Ends told = watch.ends();
    close_socket(client, made.client_fd);
    REQUIRE(watch.closed(2).size() == 2);
    return {told, Record::client(client, made.client_end, made.server_end),
            Record::server(server, made.server_end, made.client_end)};
}

}  // namespace

TEST_CASE("case 14: SO_LINGER 0 and close", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "linger-server");
        Actor client(net, "linger-client");
        const Connection made = establish(client, server, loopback(family));
        exchange(client, server, made, 10, 20);
        REQUIRE(client.call([=] { return close_with_reset(made.client_fd); }) == 0);
        REQUIRE(server.call([=] { return read_to_end(made.server_fd); }) == -ECONNRESET);
        close_socket(server, made.server_fd);
        const Ends told = watch.ends();

        Record client_record = Record::client(client, made.client_end, made.server_end);
        client_record.traffic(10, 20).ended("END_LOCAL_RESET").ended_by(client);
        client_record.timeline({"SYN_SENT", "ESTABLISHED"}).reset_sent("ESTABLISHED");
        CHECK(client_record.differences(told.client) == "");
        Record server_record = Record::server(server, made.server_end, made.client_end);
        server_record.traffic(20, 10).ended("END_REMOTE_RESET").error(ECONNRESET);
        server_record.timeline({"SYN_RECV", "ESTABLISHED"}).reset_received("ESTABLISHED");
        CHECK(server_record.differences(told.server) == "");
    });
}

TEST_CASE("case 14: a close with unread data", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "unread-server");
        Actor client(net, "unread-client");
        const Connection made = establish(client, server, loopback(family));
        REQUIRE(client.call([=] { return send_bytes(made.client_fd, 3000); }) == 0);
        REQUIRE(server.call([=] { return await_unread(made.server_fd, 3000); }) == 0);
        REQUIRE(client.call([=] { return await_acknowledged(made.client_fd); }) == 0);
        close_socket(server, made.server_fd);
        REQUIRE(client.call([=] { return read_to_end(made.client_fd); }) == -ECONNRESET);
        close_socket(client, made.client_fd);
        const Ends told = watch.ends();

        Record client_record = Record::client(client, made.client_end, made.server_end);
        client_record.traffic(3000, 0).ended("END_REMOTE_RESET").error(ECONNRESET);
        client_record.timeline({"SYN_SENT", "ESTABLISHED"}).reset_received("ESTABLISHED");
        CHECK(client_record.differences(told.client) == "");
        Record server_record = Record::server(server, made.server_end, made.client_end);
        server_record.traffic(0, 3000).is("receive_queue_bytes", 3000);
        server_record.ended("END_LOCAL_RESET").ended_by(server);
        server_record.timeline({"SYN_RECV", "ESTABLISHED"}).reset_sent("ESTABLISHED", "ABORT_ON_CLOSE");
        CHECK(server_record.differences(told.server) == "");
    });
}

TEST_CASE("case 14: a reset wins over an earlier FIN", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "late-server");
        Actor client(net, "late-client");
        const Connection made = establish(client, server, loopback(AF_INET));
        exchange(client, server, made, 10, 20);
        REQUIRE(client.call([=] { return shutdown(made.client_fd, SHUT_WR); }) == 0);
        REQUIRE(server.call([=] { return read_to_end(made.server_fd); }) == 0);
        await(client, made.client_fd, tcp_state::fin_wait2);
        REQUIRE(client.call([=] { return close_with_reset(made.client_fd); }) == 0);
        await(server, made.server_fd, tcp_state::close);
        close_socket(server, made.server_fd);
        const Ends told = watch.ends();

        Record client_record = Record::client(client, made.client_end, made.server_end);
        client_record.traffic(10, 20).ended("END_LOCAL_RESET").ended_by(client);
        client_record.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"}).reset_sent("FIN_WAIT2");
        CHECK(client_record.differences(told.client) == "");
        Record server_record = Record::server(server, made.server_end, made.client_end);
        // In CLOSE_WAIT the kernel tells the application EPIPE.
        server_record.traffic(20, 10).ended("END_REMOTE_RESET").error(EPIPE);
        server_record.timeline({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT"}).reset_received("CLOSE_WAIT");
        CHECK(server_record.differences(told.server) == "");
    });
}

TEST_CASE("case 15: the peer no longer knows the connection", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Wire wire;
        Watch watch{&wire.client(), &wire.server()};
        Actor server(wire.server(), "gone-server");
        Actor client(wire.client(), "gone-client");
        const Connection made = establish(client, server, Wire::server_end(family, 0));
        exchange(client, server, made, 100, 200);
        // As after a restart of the host: the server's end is gone and the client does not hear of it.
        wire.rules().drop_to_client = true;
        REQUIRE(server.call([=] { return close_with_reset(made.server_fd); }) == 0);
        sleep_ms(500);
        wire.rules().drop_to_client = false;
        REQUIRE(client.call([=] { return send_bytes(made.client_fd, 50); }) == 0);
        REQUIRE(client.call([=] { return read_to_end(made.client_fd); }) == -ECONNRESET);
        close_socket(client, made.client_fd);
        const Ends told = watch.ends();

        Record client_record = Record::client(client, made.client_end, made.server_end);
        client_record.traffic(150, 200).is("bytes_acked", 100).is("send_queue_bytes", 50);
        client_record.ended("END_REMOTE_RESET").error(ECONNRESET).any("lost");
        client_record.timeline({"SYN_SENT", "ESTABLISHED"}).reset_received("ESTABLISHED");
        client_record.between("lifetime_us", second_us / 2, minute_us);
        CHECK(client_record.differences(told.client) == "");
        Record server_record = Record::server(server, made.server_end, made.client_end);
        server_record.traffic(200, 100).ended("END_LOCAL_RESET").ended_by(server);
        server_record.timeline({"SYN_RECV", "ESTABLISHED"}).reset_sent("ESTABLISHED");
        CHECK(server_record.differences(told.server) == "");
    });
}

TEST_CASE("case 16: a write to a connection that the server has closed after 2 s idle", "[kernel]") {
    scenario([] {
        StaleWrite stale = write_to_closed_connection();
        stale.client.traffic(350, 400).is("bytes_acked", 300).is("send_queue_bytes", 50);
        stale.client.ended("END_REMOTE_RESET").error(EPIPE).any("lost").is("receive_queue_bytes", 0);
        stale.client.timeline({"SYN_SENT", "ESTABLISHED", "CLOSE_WAIT"}).reset_received("CLOSE_WAIT");
        stale.client.between("lifetime_us", 2 * second_us, minute_us);
        CHECK(stale.client.differences(stale.told.client) == "");

        stale.server.traffic(400, 300).ended("END_LOCAL_CLOSE");
        stale.server.is("ended_by.pid", *stale.told.server.number("process.pid"));
        stale.server.is("ended_by.name", "idle-server");
        stale.server.timeline({"SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
        stale.server.between("idle_us", 19 * second_us / 10, minute_us);
        CHECK(stale.server.differences(stale.told.server) == "");
    });
}

TEST_CASE("case 16: how long it was idle before that write", "[kernel]") {
    scenario([] {
        const StaleWrite stale = write_to_closed_connection();
        const uint64_t idle_us = stale.told.client.number("idle_us").value_or(0);
        CHECK(idle_us >= 19 * second_us / 10);
        CHECK(idle_us <= 3 * second_us);
    });
}

TEST_CASE("case 16: the server has closed after 2 s idle and the client closes too", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "idle-server");
        Actor client(net, "idle-client");
        const Connection made = establish(client, server, loopback(AF_INET6));
        exchange(client, server, made, 300, 400);
        sleep_ms(2000);
        close_socket(server, made.server_fd);
        close_after_peer(client, made.client_fd);
        const Ends told = watch.ends();

        Record client_record = Record::client(client, made.client_end, made.server_end);
        client_record.traffic(300, 400).ended("END_REMOTE_CLOSE");
        client_record.timeline({"SYN_SENT", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
        client_record.between("idle_us", 19 * second_us / 10, minute_us);
        CHECK(client_record.differences(told.client) == "");
        Record server_record = Record::server(server, made.server_end, made.client_end);
        server_record.traffic(400, 300).ended("END_LOCAL_CLOSE").ended_by(server);
        server_record.timeline({"SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
        server_record.between("idle_us", 19 * second_us / 10, minute_us);
        CHECK(server_record.differences(told.server) == "");
    });
}

TEST_CASE("case 20: ss -K", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "killed-server");
        Actor client(net, "killed-client");
        const Connection made = establish(client, server, loopback(AF_INET));
        exchange(client, server, made, 10, 20);
        const std::string port = std::to_string(port_of(made.client_end));
        const pid_t killer = net.inside([&] {
            const pid_t child = fork();
            if (child == 0) {
                if (!freopen("/dev/null", "w", stdout)) _exit(126);
                execlp("ss", "ss", "-K", "-4", "-t", "sport", "=", port.c_str(), nullptr);
                _exit(127);
            }
            return child;
        });
        int status = 0;
        waitpid(killer, &status, 0);
        REQUIRE(status == 0);
        if (client.call([=] { return info_of(made.client_fd); }).tcpi_state != tcp_state::close) {
            SKIP_TEST("this kernel has no CONFIG_INET_DIAG_DESTROY");
        }
        await(server, made.server_fd, tcp_state::close);
        const Ends told = watch.ends();

        Record client_record = Record::client(client, made.client_end, made.server_end);
        client_record.traffic(10, 20).ended("END_KILLED").ended_by(killer, "ss").error(ECONNABORTED);
        client_record.timeline({"SYN_SENT", "ESTABLISHED"}).reset_sent("ESTABLISHED");
        CHECK(client_record.differences(told.client) == "");
        Record server_record = Record::server(server, made.server_end, made.client_end);
        server_record.traffic(20, 10).ended("END_REMOTE_RESET").error(ECONNRESET);
        server_record.timeline({"SYN_RECV", "ESTABLISHED"}).reset_received("ESTABLISHED");
        CHECK(server_record.differences(told.server) == "");
        close_socket(client, made.client_fd);
        close_socket(server, made.server_fd);
    });
}

TEST_CASE("case 21: the process is killed with connections open", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "left-server");
        Actor client(net, "killed-client");
        const int listener = listening(server, loopback(AF_INET));
        const Connection clean = establish(client, server, listener);
        const Connection unread = establish(client, server, listener);
        exchange(client, server, clean, 10, 20);
        exchange(client, server, unread, 10, 20);
        REQUIRE(server.call([=] { return send_bytes(unread.server_fd, 30); }) == 0);
        REQUIRE(client.call([=] { return await_unread(unread.client_fd, 30); }) == 0);
        REQUIRE(server.call([=] { return await_acknowledged(unread.server_fd); }) == 0);
        client.kill(SIGKILL);
        close_after_peer(server, clean.server_fd);
        REQUIRE(server.call([=] { return read_to_end(unread.server_fd); }) == -ECONNRESET);
        close_socket(server, unread.server_fd);

        for (const Event& told : watch.closed(4)) {
            const bool is_client = told.text("role") == "ROLE_CLIENT";
            const uint64_t client_port = told.number(is_client ? "local_port" : "remote_port").value_or(0);
            const bool is_clean = client_port == port_of(clean.client_end);
            const Connection& made = is_clean ? clean : unread;
            Record record = is_client ? Record::client(client, made.client_end, made.server_end)
                                      : Record::server(server, made.server_end, made.client_end);
            if (is_client) {
                record.ended_by(client).any("process.executable");
                record.ended(is_clean ? "END_LOCAL_CLOSE" : "END_LOCAL_RESET");
            } else {
                record.ended(is_clean ? "END_REMOTE_CLOSE" : "END_REMOTE_RESET");
            }
            if (is_clean) {
                is_client
                    ? record.traffic(10, 20).timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"})
                    : record.traffic(20, 10).timeline({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
            } else if (is_client) {
                record.traffic(10, 50).is("receive_queue_bytes", 30).timeline({"SYN_SENT", "ESTABLISHED"});
                record.reset_sent("ESTABLISHED", "ABORT_ON_CLOSE");
            } else {
                record.traffic(50, 10).timeline({"SYN_RECV", "ESTABLISHED"});
                record.reset_received("ESTABLISHED").error(ECONNRESET);
            }
            CHECK(record.differences(told) == "");
        }
    });
}

TEST_CASE("case 26: never accepted, and the listener is closed", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "deaf-server");
        Actor client(net, "unheard-client");
        const int listener = listening(server, loopback(AF_INET));
        const Endpoint server_end = server.call([=] { return local_end(listener); });
        const int fd = client.call([=] { return connect_to(server_end); });
        REQUIRE(fd >= 0);
        const Endpoint client_end = client.call([=] { return local_end(fd); });
        REQUIRE(client.call([=] { return send_bytes(fd, 40); }) == 0);
        REQUIRE(client.call([=] { return await_acknowledged(fd); }) == 0);
        close_socket(server, listener);
        REQUIRE(client.call([=] { return read_to_end(fd); }) == -ECONNRESET);
        close_socket(client, fd);
        const Ends told = watch.ends();

        Record client_record = Record::client(client, client_end, server_end);
        client_record.traffic(40, 0).ended("END_REMOTE_RESET").error(ECONNRESET);
        client_record.timeline({"SYN_SENT", "ESTABLISHED"}).reset_received("ESTABLISHED");
        CHECK(client_record.differences(told.client) == "");
        Record server_record = Record::server(server, server_end, client_end);
        server_record.is("process.source", "OWNER_SOURCE_LISTENER").absent("accept_wait_us");
        server_record.traffic(0, 40).is("receive_queue_bytes", 40);
        server_record.ended("END_LOCAL_RESET").ended_by(server);
        server_record.timeline({"SYN_RECV", "ESTABLISHED"}).reset_sent("ESTABLISHED");
        CHECK(server_record.differences(told.server) == "");
    });
}

// Neither a segment nor a timer ends it: its time is not that of the last segment.
TEST_CASE("case 26: the client has closed long before the listener does", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "deaf-server");
        Actor client(net, "unheard-client");
        const int listener = listening(server, loopback(AF_INET));
        const Endpoint server_end = server.call([=] { return local_end(listener); });
        const int fd = client.call([=] { return connect_to(server_end); });
        REQUIRE(fd >= 0);
        close_socket(client, fd);
        sleep_ms(1000);
        close_socket(server, listener);
        const Ends told = watch.ends();
        CHECK(told.client.text("end") == "END_LOCAL_CLOSE");
        CHECK(told.client.number("lifetime_us") < 900'000);
        CHECK(told.server.text("reset.state") == "STATE_CLOSE_WAIT");
        CHECK(told.server.number("lifetime_us") >= 1'000'000);
        CHECK(told.server.number("reset_us") >= 1'000'000);
    });
}
