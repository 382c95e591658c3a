// SPDX-License-Identifier: Apache-2.0
//
// Connections that change their place: restored by TCP_REPAIR, as CRIU does it, and moved from one listener
// to another (net.ipv4.tcp_migrate_req). One record for each end, without times that cannot be.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <string>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/record.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/watch.h"

using namespace tcptrail::test;

namespace {

// What is kept of a connection while no kernel has it.
struct Checkpoint {
    int result;  // -errno
    uint32_t send_sequence, receive_sequence;
};

int set_repair(int fd, int on) {
    return set_option(fd, IPPROTO_TCP, TCP_REPAIR, on);
}

// Takes the connection out of the kernel: the peer hears nothing of it.
Checkpoint checkpoint(int fd) {
    Checkpoint kept{};
    const auto sequence = [&](int queue, uint32_t& to) {
        socklen_t length = sizeof to;
        if (set_option(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue) < 0) return false;
        return getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &to, &length) == 0;
    };
    const bool done = set_repair(fd, 1) == 0 && sequence(TCP_SEND_QUEUE, kept.send_sequence) &&
                      sequence(TCP_RECV_QUEUE, kept.receive_sequence) && close(fd) == 0;
    kept.result = done ? 0 : -errno;
    return kept;
}

// The socket, established without a handshake; or -errno.
int restore(const Checkpoint& kept, const Endpoint& local, const Endpoint& remote) {
    const int fd = socket(local.family(), SOCK_STREAM, 0);
    const auto sequence = [&](int queue, uint32_t value) {
        return set_option(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue) == 0 &&
               set_option(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, static_cast<int>(value)) == 0;
    };
    const bool done = set_repair(fd, 1) == 0 && set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) == 0 &&
                      bind(fd, local.address(), local.length) == 0 &&
                      sequence(TCP_SEND_QUEUE, kept.send_sequence) &&
                      sequence(TCP_RECV_QUEUE, kept.receive_sequence) &&
                      connect(fd, remote.address(), remote.length) == 0 && set_repair(fd, 0) == 0;
    return done ? fd : -errno;
}

std::set<std::string> ids_of(const std::vector<Event>& events) {
    std::set<std::string> ids;
    for (const Event& event : events)
        ids.insert(event.text("connection_id"));
    return ids;
}

}  // namespace

TEST_CASE("fault 14: a connection is checkpointed and restored by TCP_REPAIR", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "repair-server");
        Actor client(net, "before-dump");
        Actor restored(net, "after-restore");
        watch.only_of({&server, &client, &restored});
        const int listener = listening(server, loopback(family));
        const Connection made = establish(client, server, listener);
        exchange(client, server, made, 10, 20);
        const Checkpoint kept = client.call([=] { return checkpoint(made.client_fd); });
        REQUIRE(kept.result == 0);
        sleep_ms(100);
        const int fd = restored.call([=] { return restore(kept, made.client_end, made.server_end); });
        REQUIRE(fd >= 0);
        transfer(restored, fd, server, made.server_fd, 30);
        transfer(server, made.server_fd, restored, fd, 40);
        close_socket(restored, fd);
        close_after_peer(server, made.server_fd);

        const std::vector<Event> told = watch.closed(3);
        CHECK(ids_of(told).size() == 3);
        const auto of = [&](const Actor& owner) {
            const auto event = std::ranges::find_if(told, [&](const Event& one) {
                return one.number("process.pid") == static_cast<uint64_t>(owner.pid());
            });
            REQUIRE(event != told.end());
            return *event;
        };
        // Neither a FIN nor a reset: the peer heard nothing of it.
        Record taken_out = Record::client(client, made.client_end, made.server_end);
        taken_out.traffic(10, 20).absent("end").ended_by(client).timeline({"SYN_SENT", "ESTABLISHED"});
        CHECK(taken_out.differences(of(client)) == "");
        // Its handshake is the one of the restoring connect(), which sent nothing; its counters begin anew.
        // The options of the first handshake were not restored. A client's SYN is taken off what was
        // acknowledged, and this one never sent any.
        Record put_back = Record::client(restored, made.client_end, made.server_end);
        put_back.traffic(30, 40).ended("END_LOCAL_CLOSE").ended_by(restored);
        put_back.any("mss").between("bytes_acked", 29, 30);
        put_back.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
        CHECK(put_back.differences(of(restored)) == "");
        Record other_end = Record::server(server, made.server_end, made.client_end);
        other_end.traffic(60, 40).ended("END_REMOTE_CLOSE");
        other_end.timeline({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
        CHECK(other_end.differences(of(server)) == "");
    });
}

TEST_CASE("fault 14: connections move to another listener", "[kernel]") {
    constexpr size_t count = 8;
    scenario([=] {
        Netns net;
        net.sysctl("net.ipv4.tcp_migrate_req", "1");
        Watch watch{&net};
        Actor first(net, "closing-server");
        Actor second(net, "taking-server");
        Actor client(net, "moved-client");
        watch.only_of({&first, &second, &client});
        const auto listen_shared = [](const Endpoint& at) {
            const int fd = socket(at.family(), SOCK_STREAM, 0);
            const bool done = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) == 0 &&
                              bind(fd, at.address(), at.length) == 0 && listen(fd, 128) == 0;
            return done ? fd : -errno;
        };
        const Endpoint any = loopback(AF_INET);
        const int closing = first.call([=] { return listen_shared(any); });
        REQUIRE(closing >= 0);
        const Endpoint to = first.call([=] { return local_end(closing); });
        std::vector<int> fds;
        for (size_t i = 0; i < count; ++i) {
            fds.push_back(client.call([=] { return connect_to(to); }));
            REQUIRE(fds.back() >= 0);
        }
        const int taking = second.call([=] { return listen_shared(to); });
        REQUIRE(taking >= 0);
        close_socket(first, closing);
        for (size_t i = 0; i < count; ++i) {
            const int accepted = second.call([=] { return accept_one(taking); });
            REQUIRE(accepted >= 0);
            const int fd = fds[i];
            transfer(client, fd, second, accepted, 10);
            close_socket(client, fd);
            close_after_peer(second, accepted);
        }

        const std::vector<Event> told = watch.closed(2 * count);
        CHECK(ids_of(told).size() == 2 * count);
        for (const Event& event : told) {
            const bool is_client = event.text("role") == "ROLE_CLIENT";
            const Endpoint from = loopback(
                AF_INET, static_cast<uint16_t>(*event.number(is_client ? "local_port" : "remote_port")));
            // accept() names the one that took it; it listened later than the connection began.
            Record record = is_client ? Record::client(client, from, to) : Record::server(second, to, from);
            if (is_client) {
                record.traffic(10, 0).ended("END_LOCAL_CLOSE").ended_by(client);
                record.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
            } else {
                record.traffic(0, 10).ended("END_REMOTE_CLOSE");
                record.timeline({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
            }
            CHECK(record.differences(event) == "");
        }
    });
}
