// SPDX-License-Identifier: Apache-2.0
//
// Addresses: IPv4, IPv6, cases 33 (IPv4-mapped) and 34 (link-local), and what scope each has.
#include <net/if.h>
#include <unistd.h>

#include <map>
#include <string>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/record.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/watch.h"

using namespace tcptrail::test;

namespace {

// Both records of a connection without a byte that the client closes.
void check_silent(const Ends& told, const Actor& client, const Actor& server, const Endpoint& client_end,
                  const Endpoint& server_end) {
    Record client_record = Record::client(client, client_end, server_end);
    client_record.ended("END_LOCAL_CLOSE").ended_by(client);
    client_record.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
    CHECK(client_record.differences(told.client) == "");
    Record server_record = Record::server(server, server_end, client_end);
    server_record.ended("END_REMOTE_CLOSE");
    server_record.timeline({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
    CHECK(server_record.differences(told.server) == "");
}

}  // namespace

TEST_CASE("a connection without a byte", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "mute-server", {.uid = 1234});
        Actor client(net, "mute-client", {.uid = 4321});
        const Connection made = establish(client, server, loopback(family));
        close_socket(client, made.client_fd);
        close_after_peer(server, made.server_fd);
        check_silent(watch.ends(), client, server, made.client_end, made.server_end);
    });
}

TEST_CASE("case 33: IPv4 by a dual-stack listener is told as IPv4", "[kernel]") {
    // The client's socket may be of either family, too.
    const std::string client_address = GENERATE("127.0.0.1", "::ffff:127.0.0.1");
    scenario([&] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "dual-server");
        Actor client(net, "dual-client");
        const Endpoint any = endpoint("::", 0);
        const int listener = server.call([=] { return listen_on(any, 128, true); });
        REQUIRE(listener >= 0);
        const uint16_t port = port_of(server.call([=] { return local_end(listener); }));
        const Endpoint to = endpoint(client_address, port);
        const int fd = client.call([=] { return connect_to(to); });
        REQUIRE(fd >= 0);
        const uint16_t client_port = port_of(client.call([=] { return local_end(fd); }));
        const int accepted = server.call([=] { return accept_one(listener); });
        REQUIRE(accepted >= 0);
        close_socket(client, fd);
        close_after_peer(server, accepted);
        check_silent(watch.ends(), client, server, loopback(AF_INET, client_port), loopback(AF_INET, port));
    });
}

TEST_CASE("case 34: IPv6 link-local with scope id", "[kernel]") {
    scenario([] {
        Netns client_net;
        Netns server_net;
        join_by_veth(client_net, server_net);
        Watch watch{&client_net, &server_net};
        Actor server(server_net, "link-server");
        Actor client(client_net, "link-client");
        const uint32_t server_link = server_net.inside([] { return if_nametoindex("veth"); });
        const uint32_t client_link = client_net.inside([] { return if_nametoindex("veth"); });
        const int listener = listening(server, endpoint("fe80::2", 8080, server_link));
        const Endpoint to = endpoint("fe80::2", 8080, client_link);
        const int fd = client.call([=] { return connect_to(to); });
        REQUIRE(fd >= 0);
        const uint16_t client_port = port_of(client.call([=] { return local_end(fd); }));
        const int accepted = server.call([=] { return accept_one(listener); });
        REQUIRE(accepted >= 0);
        close_socket(client, fd);
        close_after_peer(server, accepted);
        const Ends told = watch.ends();

        // The scope is the interface's index in the connection's namespace, or its name.
        const auto scoped = [](Record& record, const char* local, const char* remote, uint32_t link) {
            for (const auto& [field, address] :
                 {std::pair{"local_address", local}, {"remote_address", remote}}) {
                const std::string text = address;
                record.one_of(field, {text + "%" + std::to_string(link), text + "%veth"});
            }
        };
        Record client_record = Record::client(client, endpoint("fe80::1", client_port), to);
        scoped(client_record, "fe80::1", "fe80::2", client_link);
        client_record.ended("END_LOCAL_CLOSE").ended_by(client);
        client_record.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
        CHECK(client_record.differences(told.client) == "");
        Record server_record = Record::server(server, to, endpoint("fe80::1", client_port));
        scoped(server_record, "fe80::2", "fe80::1", server_link);
        server_record.ended("END_REMOTE_CLOSE");
        server_record.timeline({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
        CHECK(server_record.differences(told.server) == "");
    });
}

TEST_CASE("the scope of the remote address", "[kernel]") {
    const std::map<std::string, std::string> scopes{{"127.0.0.1", "SCOPE_LOOPBACK"},
                                                    {"127.255.3.4", "SCOPE_LOOPBACK"},
                                                    {"::1", "SCOPE_LOOPBACK"},
                                                    {"169.254.7.7", "SCOPE_LINK_LOCAL"},
                                                    {"10.0.0.1", "SCOPE_PRIVATE"},
                                                    {"172.16.0.1", "SCOPE_PRIVATE"},
                                                    {"172.31.255.254", "SCOPE_PRIVATE"},
                                                    {"192.168.0.1", "SCOPE_PRIVATE"},
                                                    {"100.64.0.1", "SCOPE_PRIVATE"},
                                                    {"100.127.255.254", "SCOPE_PRIVATE"},
                                                    {"fc00::1", "SCOPE_PRIVATE"},
                                                    {"fd12:3456::1", "SCOPE_PRIVATE"},
                                                    {"11.0.0.1", "SCOPE_PUBLIC"},
                                                    {"172.15.0.1", "SCOPE_PUBLIC"},
                                                    {"172.32.0.1", "SCOPE_PUBLIC"},
                                                    {"192.169.0.1", "SCOPE_PUBLIC"},
                                                    {"100.63.0.1", "SCOPE_PUBLIC"},
                                                    {"100.128.0.1", "SCOPE_PUBLIC"},
                                                    {"2606:4700:4700::1111", "SCOPE_PUBLIC"}};
    scenario([&] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "scope-server");
        Actor client(net, "scope-client");
        for (const auto& [address, scope] : scopes) {
            const Endpoint at = endpoint(address, 80);
            if (scope != "SCOPE_LOOPBACK") {
                net.add_address(address, at.family() == AF_INET ? 32 : 128, "lo");
            }
            const Connection made = establish(client, server, at);
            close_socket(client, made.client_fd);
            close_after_peer(server, made.server_fd);
        }
        for (const Event& told : watch.closed(2 * scopes.size())) {
            const std::string address = told.text("remote_address");
            INFO(address);
            REQUIRE(scopes.contains(address));
            CHECK(told.text("remote_scope") == scopes.at(address));
        }
    });
}
