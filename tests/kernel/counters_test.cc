// SPDX-License-Identifier: Apache-2.0
//
// What a connection carried and how well, against the kernel's own TCP_INFO: counters, options, and
// cases 22, 23, 35.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/record.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/watch.h"
#include "tests/kernel/wire.h"

using namespace tcptrail::test;

namespace {

// Both ends' TCP_INFO at a moment at which nothing is under way.
struct Both {
    tcp_info client;
    tcp_info server;
};

Both settle(Actor& client, Actor& server, const Connection& made) {
    // Longer than an acknowledgement may be delayed.
    sleep_ms(250);
    return {client.call([=] { return info_of(made.client_fd); }),
            server.call([=] { return info_of(made.server_fd); })};
}

// Ends the connection by a reset of the client's: after that nothing but the reset counts, so that
// both records can be compared with TCP_INFO to the last digit.
Ends reset(Watch& watch, Actor& client, Actor& server, const Connection& made) {
    REQUIRE(client.call([=] { return close_with_reset(made.client_fd); }) == 0);
    await(server, made.server_fd, tcp_state::close);
    close_socket(server, made.server_fd);
    return watch.ends();
}

struct Records {
    Record client;
    Record server;
};

Records reset_records(const Actor& client, const Actor& server, const Connection& made, const Both& info,
                      uint64_t request, uint64_t response) {
    Records records{Record::client(client, made.client_end, made.server_end),
                    Record::server(server, made.server_end, made.client_end)};
    records.client.traffic(request, response).measured_exactly(info.client, 0);
    records.client.timeline({"SYN_SENT", "ESTABLISHED"}).ended("END_LOCAL_RESET").ended_by(client);
    records.client.reset_sent("ESTABLISHED");
    records.server.traffic(response, request).measured_exactly(info.server, 1);
    records.server.timeline({"SYN_RECV", "ESTABLISHED"}).ended("END_REMOTE_RESET").error(ECONNRESET);
    records.server.reset_received("ESTABLISHED");
    return records;
}

}  // namespace

TEST_CASE("every counter equals TCP_INFO", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Netns client_net;
        Netns server_net;
        join_by_veth(client_net, server_net);
        Watch watch{&client_net, &server_net};
        Actor server(server_net, "count-server");
        Actor client(client_net, "count-client");
        const Connection made = establish(client, server, veth_end(family));
        exchange(client, server, made, 123'456, 3'456'789);
        const Both info = settle(client, server, made);
        const Ends told = reset(watch, client, server, made);

        Records records = reset_records(client, server, made, info, 123'456, 3'456'789);
        for (Record* record : {&records.client, &records.server}) {
            record->between("busy_us", 1, 10'000'000);
            // The reader may lag behind the writer.
            record->any("receive_window_limited_us").any("send_buffer_limited_us");
        }
        // On a slow machine the kernel may send a tail loss probe: TCP_INFO counts it too.
        for (auto [record, truth] :
             {std::pair(&records.client, info.client), std::pair(&records.server, info.server)})
            if (truth.tcpi_total_retrans > 0)
                record->present("retransmit_first_us").present("retransmit_last_us");
        records.client.is("busy_us", info.client.tcpi_busy_time);
        records.server.is("busy_us", info.server.tcpi_busy_time);
        CHECK(records.client.differences(told.client) == "");
        CHECK(records.server.differences(told.server) == "");
    });
}

TEST_CASE("one lost segment", "[kernel]") {
    scenario([] {
        Wire wire;
        Watch watch{&wire.client(), &wire.server()};
        Actor server(wire.server(), "loss-server");
        Actor client(wire.client(), "loss-client");
        const Connection made = establish(client, server, Wire::server_end(AF_INET, 0));
        exchange(client, server, made, 100, 200);
        wire.rules().drop_next_data = 1;
        transfer(client, made.client_fd, server, made.server_fd, 1000);
        const Both info = settle(client, server, made);
        REQUIRE(info.client.tcpi_total_retrans == 1);
        const Ends told = reset(watch, client, server, made);

        Records records = reset_records(client, server, made, info, 1100, 200);
        // bytes_sent counts the retransmitted ones, bytes_acked each byte once.
        records.client.is("bytes_sent", 2100).is("bytes_retransmitted", 1000).is("bytes_acked", 1100);
        records.client.is("retransmits", 1).any("rto_count");
        // Nothing came after it, so no acknowledgement could tell: a probe or a timeout.
        records.client.is("fast_retransmits", 0).is("fin_retransmits", 0);
        records.client.present("retransmit_first_us").present("retransmit_last_us");
        CHECK(records.client.differences(told.client) == "");
        CHECK(told.client.number("retransmit_first_us") == told.client.number("retransmit_last_us"));
        CHECK(records.server.differences(told.server) == "");
    });
}

TEST_CASE("a segment that is lost before others is retransmitted fast", "[kernel]") {
    scenario([] {
        constexpr uint64_t bytes = 20'000;
        Wire wire;
        Watch watch{&wire.client(), &wire.server()};
        Actor server(wire.server(), "loss-server");
        Actor client(wire.client(), "loss-client");
        const Connection made = establish(client, server, Wire::server_end(AF_INET, 0));
        wire.rules().drop_next_data = 1;
        transfer(client, made.client_fd, server, made.server_fd, bytes);
        const Both info = settle(client, server, made);
        REQUIRE(info.client.tcpi_total_retrans >= 1);
        const Ends told = reset(watch, client, server, made);

        Records records = reset_records(client, server, made, info, bytes, 0);
        records.client.is("bytes_sent", bytes + info.client.tcpi_bytes_retrans).any("rto_count");
        records.client.between("fast_retransmits", 1, info.client.tcpi_total_retrans);
        records.client.is("fin_retransmits", 0);
        records.client.present("retransmit_first_us").present("retransmit_last_us");
        records.client.any("receive_window_limited_us").any("send_buffer_limited_us");
        CHECK(records.client.differences(told.client) == "");
        CHECK(records.server.differences(told.server) == "");
    });
}

TEST_CASE("a FIN that is lost", "[kernel]") {
    scenario([] {
        Wire wire;
        Watch watch{&wire.client(), &wire.server()};
        Actor server(wire.server(), "fin-server");
        Actor client(wire.client(), "fin-client");
        const Connection made = establish(client, server, Wire::server_end(AF_INET, 0));
        exchange(client, server, made, 100, 200);
        wire.rules().drop_to_server = true;
        REQUIRE(client.call([=] { return shutdown(made.client_fd, SHUT_WR); }) == 0);
        REQUIRE(wire.await_dropped(1));
        wire.rules().drop_to_server = false;
        await(client, made.client_fd, tcp_state::fin_wait2);
        const Both info = settle(client, server, made);
        REQUIRE(info.client.tcpi_total_retrans >= 1);
        close_after_peer(server, made.server_fd);
        REQUIRE(client.call([=] { return read_to_end(made.client_fd); }) == 0);
        close_socket(client, made.client_fd);
        const Ends told = watch.ends();

        CHECK(told.client.number("retransmits") == info.client.tcpi_total_retrans);
        CHECK(told.client.number("fin_retransmits") == info.client.tcpi_total_retrans);
        CHECK(told.client.number("fast_retransmits") == 0);
        CHECK(told.client.number("bytes_retransmitted") == 0);
        CHECK(told.client.text("end") == "END_LOCAL_CLOSE");
        CHECK(told.server.number("fin_retransmits") == 0);
    });
}

TEST_CASE("a retransmission that could not leave is none", "[kernel]") {
    scenario([] {
        Netns client_net;
        Netns server_net;
        join_by_veth(client_net, server_net);
        // Nobody tells the client where the server is: the SYN waits in the neighbour's queue.
        server_net.sysctl("net.ipv4.conf.veth.arp_ignore", "8");
        client_net.ip("neigh del 10.76.0.2 dev veth");
        Watch watch{&client_net, &server_net};
        Actor server(server_net, "found-server");
        Actor client(client_net, "stuck-client");
        Connection made{};
        const int listener = listening(server, veth_end(AF_INET, 80));
        made.server_end = veth_end(AF_INET, 80);
        client.start([to = made.server_end] { return connect_to(to); });
        // Meanwhile the timer fires, and the kernel sees that the first SYN has not even left.
        sleep_ms(1500);
        client_net.ip("neigh replace 10.76.0.2 lladdr 02:00:00:00:00:02 dev veth");
        made.client_fd = client.finish<int>();
        REQUIRE(made.client_fd >= 0);
        made.client_end = client.call([=] { return local_end(made.client_fd); });
        made.server_fd = server.call([=] { return accept_one(listener); });
        const Both info = settle(client, server, made);
        REQUIRE(info.client.tcpi_total_retrans == 0);
        const Ends told = reset(watch, client, server, made);

        Records records = reset_records(client, server, made, info, 0, 0);
        records.client.between("connect_us", 1'000'000, 60'000'000);
        // The timeout was one, and the kernel slowed down for it.
        records.client.any("rto_count").any("lost");
        CHECK(records.client.differences(told.client) == "");
        CHECK(records.server.differences(told.server) == "");
    });
}

TEST_CASE("case 22: random loss in both directions", "[kernel]") {
    const uint32_t permille = GENERATE(10U, 100U);
    scenario([=] {
        constexpr uint64_t bytes = 400'000;
        Wire wire;
        Watch watch{&wire.client(), &wire.server()};
        Actor server(wire.server(), "loss-server");
        Actor client(wire.client(), "loss-client");
        const Connection made = establish(client, server, Wire::server_end(AF_INET, 0));
        wire.rules().loss_permille = permille;
        transfer(client, made.client_fd, server, made.server_fd, bytes);
        wire.rules().loss_permille = 0;
        const Both info = settle(client, server, made);
        REQUIRE(wire.rules().tcp_dropped > 0);
        const Ends told = reset(watch, client, server, made);

        Records records = reset_records(client, server, made, info, bytes, 0);
        const uint64_t again = info.client.tcpi_bytes_retrans;
        records.client.is("bytes_sent", bytes + again).any("rto_count");
        records.client.any("receive_window_limited_us").any("send_buffer_limited_us");
        if (info.client.tcpi_total_retrans > 0) {
            records.client.present("retransmit_first_us").present("retransmit_last_us");
        }
        CHECK(records.client.differences(told.client) == "");
        CHECK(records.server.differences(told.server) == "");
    });
}

TEST_CASE("case 23: the receiver does not read for a second", "[kernel]") {
    scenario([] {
        constexpr uint64_t bytes = 1'000'000;
        Netns net;
        Watch watch{&net};
        Actor server(net, "slow-server");
        Actor client(net, "eager-client");
        const int listener = listening(server, loopback(AF_INET));
        // The sockets that it accepts inherit the small buffer.
        REQUIRE(server.call([=] { return set_option(listener, SOL_SOCKET, SO_RCVBUF, 32768); }) == 0);
        const Connection made = establish(client, server, listener);
        client.start([=] { return send_bytes(made.client_fd, bytes); });
        sleep_ms(1200);
        REQUIRE(server.call([=] { return receive_bytes(made.server_fd, bytes); }) == 0);
        REQUIRE(client.finish<int>() == 0);
        REQUIRE(client.call([=] { return await_acknowledged(made.client_fd); }) == 0);
        const Both info = settle(client, server, made);
        const Ends told = reset(watch, client, server, made);

        Records records = reset_records(client, server, made, info, bytes, 0);
        REQUIRE(info.client.tcpi_rwnd_limited >= 900'000);
        records.client.is("receive_window_limited_us", info.client.tcpi_rwnd_limited);
        records.client.is("send_buffer_limited_us", info.client.tcpi_sndbuf_limited).any("rto_count");
        // A tail loss probe may have gone out meanwhile: then TCP_INFO counts it, and its time is told.
        records.client.any("retransmit_first_us").any("retransmit_last_us");
        CHECK(records.client.differences(told.client) == "");
        CHECK(records.server.differences(told.server) == "");
    });
}

TEST_CASE("what lies in the queues when a reset comes", "[kernel]") {
    scenario([] {
        Wire wire;
        Watch watch{&wire.client(), &wire.server()};
        Actor server(wire.server(), "queue-server");
        Actor client(wire.client(), "queue-client");
        const Connection made = establish(client, server, Wire::server_end(AF_INET, 0));
        REQUIRE(server.call([=] { return send_bytes(made.server_fd, 700); }) == 0);
        REQUIRE(client.call([=] { return await_unread(made.client_fd, 700); }) == 0);
        REQUIRE(server.call([=] { return await_acknowledged(made.server_fd); }) == 0);
        wire.rules().drop_to_server = true;
        REQUIRE(client.call([=] { return send_bytes(made.client_fd, 300); }) == 0);
        // The reset is lost, too; the server's end is closed after it.
        REQUIRE(client.call([=] { return close_with_reset(made.client_fd); }) == 0);
        REQUIRE(wire.await_dropped(2));
        wire.rules().drop_to_server = false;
        wire.rules().drop_to_client = true;
        REQUIRE(server.call([=] { return close_with_reset(made.server_fd); }) == 0);
        const Ends told = watch.ends();

        Record client_record = Record::client(client, made.client_end, made.server_end);
        client_record.traffic(300, 700).is("bytes_acked", 0);
        client_record.is("send_queue_bytes", 300).is("receive_queue_bytes", 700);
        client_record.timeline({"SYN_SENT", "ESTABLISHED"}).ended("END_LOCAL_RESET").ended_by(client);
        client_record.reset_sent("ESTABLISHED");
        CHECK(client_record.differences(told.client) == "");
        Record server_record = Record::server(server, made.server_end, made.client_end);
        server_record.traffic(700, 0).ended("END_LOCAL_RESET").ended_by(server);
        server_record.timeline({"SYN_RECV", "ESTABLISHED"}).reset_sent("ESTABLISHED");
        CHECK(server_record.differences(told.server) == "");
    });
}

TEST_CASE("options in force", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "option-server");
        Actor client(net, "option-client");
        const Connection made = establish(client, server, loopback(AF_INET));
        const int set = client.call([fd = made.client_fd] {
            const std::string congestion = "cubic";
            return set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) |
                   set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 77) |
                   set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) |
                   setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion.data(),
                              static_cast<socklen_t>(congestion.size()));
        });
        REQUIRE(set == 0);
        REQUIRE(std::string(client.call([=] { return congestion_of(made.client_fd); }).text) == "cubic");
        REQUIRE(server.call([=] { return set_option(made.server_fd, IPPROTO_TCP, TCP_NODELAY, 1); }) == 0);
        const Both info = settle(client, server, made);
        const Ends told = reset(watch, client, server, made);

        Records records = reset_records(client, server, made, info, 0, 0);
        records.client.is("keepalive", true).is("keepalive_idle_secs", 77).is("nodelay", true);
        records.client.is("congestion", "cubic");
        records.server.is("nodelay", true);
        CHECK(records.client.differences(told.client) == "");
        CHECK(records.server.differences(told.server) == "");
    });
}

TEST_CASE("case 35: TCP Fast Open", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        constexpr size_t request = 100;
        // The client's cookie: asked for, used, and used when the server takes none any more.
        constexpr int rounds = 3;
        Netns net;
        net.sysctl("net.ipv4.tcp_fastopen", "3");
        Watch watch{&net};
        Actor server(net, "fast-server");
        Actor client(net, "fast-client");
        const int listener = listening(server, loopback(family));
        const Endpoint to = server.call([=] { return local_end(listener); });
        std::vector<Connection> connections;
        std::vector<Both> infos;
        for (int round = 0; round < rounds; ++round) {
            const int queue = round == rounds - 1 ? 0 : 16;
            REQUIRE(server.call([=] { return set_option(listener, IPPROTO_TCP, TCP_FASTOPEN, queue); }) == 0);
            Connection made{};
            made.server_end = to;
            made.client_fd = client.call([=] {
                const char bytes[request] = {};
                const int fd = socket(to.family(), SOCK_STREAM, 0);
                const ssize_t sent = sendto(fd, bytes, request, MSG_FASTOPEN, to.address(), to.length);
                return sent == request ? fd : -errno;
            });
            REQUIRE(made.client_fd >= 0);
            made.server_fd = server.call([=] { return accept_one(listener); });
            REQUIRE(made.server_fd >= 0);
            REQUIRE(server.call([=] { return receive_bytes(made.server_fd, request); }) == 0);
            transfer(server, made.server_fd, client, made.client_fd, 200);
            made.client_end = client.call([=] { return local_end(made.client_fd); });
            infos.push_back(settle(client, server, made));
            connections.push_back(made);
        }
        constexpr uint8_t syn_data = 32;  // TCPI_OPT_SYN_DATA, which older headers lack
        REQUIRE((infos[0].client.tcpi_options & syn_data) == 0);
        REQUIRE((infos[1].client.tcpi_options & syn_data) != 0);
        REQUIRE((infos[2].client.tcpi_options & syn_data) == 0);
        for (const Connection& made : connections) {
            REQUIRE(client.call([=] { return close_with_reset(made.client_fd); }) == 0);
            await(server, made.server_fd, tcp_state::close);
            close_socket(server, made.server_fd);
        }

        for (const Event& told : watch.closed(2 * rounds)) {
            const bool is_client = told.text("role") == "ROLE_CLIENT";
            const uint64_t port = told.number(is_client ? "local_port" : "remote_port").value_or(0);
            for (size_t round = 0; round < rounds; ++round) {
                const Connection& made = connections[round];
                if (port_of(made.client_end) != port) continue;
                const Both& info = infos[round];
                const bool accepted = round == 1;
                INFO("round " << round);
                Records records = reset_records(client, server, made, info, request, 200);
                Record& record = is_client ? records.client : records.server;
                // Data of a SYN that the server did not take is sent again.
                if (is_client) record.is("bytes_sent", request + info.client.tcpi_bytes_retrans);
                record.is("fast_open", accepted).any("retransmit_first_us").any("retransmit_last_us");
                // Established and read before the handshake is complete.
                if (accepted && !is_client) record.any("accept_wait_us");
                CHECK(record.differences(told) == "");
            }
        }
    });
}
