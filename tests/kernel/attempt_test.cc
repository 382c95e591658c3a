// SPDX-License-Identifier: Apache-2.0
//
// One record per attempt: cases 25, 27, 28, 36, 38.
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/record.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/watch.h"
#include "tests/kernel/wire.h"

using namespace tcptrail::test;

namespace {

// The one event that `holds` is true of.
template <class Condition>
Event pick(const std::vector<Event>& events, Condition holds) {
    const Event* found = nullptr;
    for (const Event& event : events) {
        if (!holds(event)) continue;
        REQUIRE(found == nullptr);
        found = &event;
    }
    REQUIRE(found != nullptr);
    return *found;
}

}  // namespace

TEST_CASE("case 25: the accept queue is full", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "full-server");
        Actor client(net, "queued-client");
        const int listener = listening(server, loopback(AF_INET), 0);
        const Endpoint to = server.call([=] { return local_end(listener); });
        // A backlog of 0 has room for one.
        const int first = client.call([=] { return connect_to(to); });
        REQUIRE(first >= 0);
        client.start([=] { return connect_to(to); });
        sleep_ms(300);
        const int first_accepted = server.call([=] { return accept_one(listener); });
        const int second = client.finish<int>();
        REQUIRE(second >= 0);
        const Endpoint second_end = client.call([=] { return local_end(second); });
        const int second_accepted = server.call([=] { return accept_one(listener); });
        const tcp_info info = client.call([=] { return info_of(second); });
        REQUIRE(info.tcpi_total_retrans == 1);
        for (const int fd : {first, second})
            close_socket(client, fd);
        for (const int fd : {first_accepted, second_accepted})
            close_after_peer(server, fd);

        const std::vector<Event> told = watch.closed(4);
        Record record = Record::client(client, second_end, to);
        record.between("connect_us", 900'000, 60'000'000).is("syn_retransmits", 1).is("retransmits", 1);
        record.between("retransmit_first_us", 900'000, 60'000'000);
        record.between("retransmit_last_us", 900'000, 60'000'000)
            .any("rto_count")
            .any("ssthresh")
            .any("lost");
        record.ended("END_LOCAL_CLOSE").ended_by(client);
        record.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
        const Event second_told =
            pick(told, [&](const Event& event) { return event.number("local_port") == port_of(second_end); });
        CHECK(record.differences(second_told) == "");
    });
}

TEST_CASE("case 27: one socket, refused first and established then", "[kernel]") {
    const int family = GENERATE(AF_INET, AF_INET6);
    scenario([=] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "late-server");
        Actor client(net, "retry-client");
        const Endpoint to = loopback(family, 8080);
        const int fd = client.call([=] {
            const int made = socket(to.family(), SOCK_STREAM, 0);
            return connect(made, to.address(), to.length) == -1 && errno == ECONNREFUSED ? made : -1;
        });
        REQUIRE(fd >= 0);
        const int listener = listening(server, to);
        REQUIRE(client.call([=] { return connect(fd, to.address(), to.length); }) == 0);
        const Endpoint client_end = client.call([=] { return local_end(fd); });
        const int accepted = server.call([=] { return accept_one(listener); });
        transfer(client, fd, server, accepted, 77);
        close_socket(client, fd);
        close_after_peer(server, accepted);

        const std::vector<Event> told = watch.closed(3);
        const Event refused =
            pick(told, [](const Event& event) { return event.text("outcome") == "OUTCOME_REFUSED"; });
        const Event client_told = pick(told, [](const Event& event) {
            return event.text("role") == "ROLE_CLIENT" && event.text("outcome") == "OUTCOME_ESTABLISHED";
        });
        const Event server_told =
            pick(told, [](const Event& event) { return event.text("role") == "ROLE_SERVER"; });
        CHECK(refused.text("connection_id") != client_told.text("connection_id"));

        Record refused_record = Record::failed(client, address_text(to), to, "OUTCOME_REFUSED");
        refused_record.error(ECONNREFUSED).reset_received("SYN_SENT").is("segments_in", 1);
        CHECK(refused_record.differences(refused) == "");
        // Nothing of the first attempt in the second: neither its error nor its segments.
        Record client_record = Record::client(client, client_end, to);
        client_record.traffic(77, 0).ended("END_LOCAL_CLOSE").ended_by(client);
        client_record.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
        client_record.between("segments_out", 3, 5).between("segments_in", 2, 4);
        CHECK(client_record.differences(client_told) == "");
        Record server_record = Record::server(server, to, client_end);
        server_record.traffic(0, 77).ended("END_REMOTE_CLOSE");
        server_record.timeline({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
        CHECK(server_record.differences(server_told) == "");
    });
}

TEST_CASE("case 28: a socket is disconnected by AF_UNSPEC and used again", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "again-server");
        Actor client(net, "again-client");
        const int listener = listening(server, loopback(AF_INET));
        const Connection first = establish(client, server, listener);
        exchange(client, server, first, 10, 20);
        const int fd = first.client_fd;
        const int disconnected = client.call([=] {
            const sockaddr nowhere{.sa_family = AF_UNSPEC, .sa_data = {}};
            return connect(fd, &nowhere, sizeof nowhere);
        });
        REQUIRE(disconnected == 0);
        await(server, first.server_fd, tcp_state::close);
        close_socket(server, first.server_fd);
        const Endpoint to = first.server_end;
        REQUIRE(client.call([=] { return connect(fd, to.address(), to.length); }) == 0);
        const Endpoint client_end = client.call([=] { return local_end(fd); });
        const int accepted = server.call([=] { return accept_one(listener); });
        transfer(client, fd, server, accepted, 33);
        close_socket(client, fd);
        close_after_peer(server, accepted);

        const std::vector<Event> told = watch.closed(4);
        const auto is_end = [](const char* role, const char* end) {
            return [=](const Event& event) { return event.text("role") == role && event.text("end") == end; };
        };
        const Event first_client = pick(told, is_end("ROLE_CLIENT", "END_LOCAL_RESET"));
        const Event first_server = pick(told, is_end("ROLE_SERVER", "END_REMOTE_RESET"));
        const Event second_client = pick(told, is_end("ROLE_CLIENT", "END_LOCAL_CLOSE"));
        const Event second_server = pick(told, is_end("ROLE_SERVER", "END_REMOTE_CLOSE"));
        CHECK(first_client.text("connection_id") != second_client.text("connection_id"));

        Record record = Record::client(client, first.client_end, to);
        record.traffic(10, 20).ended("END_LOCAL_RESET").ended_by(client);
        record.timeline({"SYN_SENT", "ESTABLISHED"}).reset_sent("ESTABLISHED");
        CHECK(record.differences(first_client) == "");
        record = Record::server(server, to, first.client_end);
        record.traffic(20, 10).ended("END_REMOTE_RESET").error(ECONNRESET);
        record.timeline({"SYN_RECV", "ESTABLISHED"}).reset_received("ESTABLISHED");
        CHECK(record.differences(first_server) == "");
        record = Record::client(client, client_end, to);
        record.traffic(33, 0).ended("END_LOCAL_CLOSE").ended_by(client);
        record.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
        CHECK(record.differences(second_client) == "");
        record = Record::server(server, to, client_end);
        record.traffic(0, 33).ended("END_REMOTE_CLOSE");
        record.timeline({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
        CHECK(record.differences(second_server) == "");
    });
}

TEST_CASE("case 36: simultaneous open", "[kernel]") {
    scenario([] {
        Wire wire;
        Watch watch{&wire.client(), &wire.server()};
        Actor left(wire.client(), "left");
        Actor right(wire.server(), "right");
        const Endpoint left_end = Wire::client_end(AF_INET, 5001);
        const Endpoint right_end = Wire::server_end(AF_INET, 5002);
        // Both SYNs are on their way before either arrives.
        wire.rules().hold = true;
        left.start([=] { return connect_to(right_end, &left_end); });
        right.start([=] { return connect_to(left_end, &right_end); });
        sleep_ms(100);
        wire.rules().hold = false;
        const int left_fd = left.finish<int>();
        const int right_fd = right.finish<int>();
        REQUIRE(left_fd >= 0);
        REQUIRE(right_fd >= 0);
        transfer(left, left_fd, right, right_fd, 10);
        close_socket(left, left_fd);
        close_after_peer(right, right_fd);

        const std::vector<Event> told = watch.closed(2);
        const auto of = [&](const Netns& net) {
            return pick(told, [&](const Event& event) { return event.number("netns") == net.inode(); });
        };
        Record left_record = Record::client(left, left_end, right_end);
        left_record.traffic(10, 0).ended("END_LOCAL_CLOSE").ended_by(left);
        left_record.timeline({"SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
        Record right_record = Record::client(right, right_end, left_end);
        right_record.traffic(0, 10).ended("END_REMOTE_CLOSE");
        right_record.timeline({"SYN_SENT", "SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
        for (Record* record : {&left_record, &right_record}) {
            // Whether the crossing answers count as retransmits is the kernel's choice.
            record->any("synack_retransmits").any("syn_retransmits").any("retransmits");
            record->any("retransmit_first_us").any("retransmit_last_us").any("dsack_duplicates");
        }
        CHECK(left_record.differences(of(wire.client())) == "");
        CHECK(right_record.differences(of(wire.server())) == "");
    });
}

TEST_CASE("case 38: the same addresses and ports again within a second", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "reuse-server");
        Actor client(net, "reuse-client");
        const Endpoint to = loopback(AF_INET, 6001);
        const Endpoint from = loopback(AF_INET, 6002);
        const int listener = listening(server, to);
        constexpr int rounds = 3;
        for (int i = 0; i < rounds; ++i) {
            const int fd = client.call([=] { return connect_to(to, &from); });
            REQUIRE(fd >= 0);
            const int accepted = server.call([=] { return accept_one(listener); });
            REQUIRE(accepted >= 0);
            const auto size = static_cast<size_t>(i) + 1;
            transfer(client, fd, server, accepted, size);
            // By a reset, so that neither side keeps the addresses in TIME_WAIT.
            REQUIRE(client.call([=] { return close_with_reset(fd); }) == 0);
            await(server, accepted, tcp_state::close);
            close_socket(server, accepted);
        }

        std::set<std::string> client_ids;
        std::set<std::string> server_ids;
        std::map<uint64_t, int> sizes;
        for (const Event& told : watch.closed(2 * rounds)) {
            const bool is_client = told.text("role") == "ROLE_CLIENT";
            (is_client ? client_ids : server_ids).insert(told.text("connection_id"));
            const uint64_t size = told.number(is_client ? "bytes_sent" : "bytes_received").value_or(0);
            ++sizes[size];
            Record record = is_client ? Record::client(client, from, to) : Record::server(server, to, from);
            if (is_client) {
                record.traffic(size, 0).ended("END_LOCAL_RESET").ended_by(client).reset_sent("ESTABLISHED");
                record.timeline({"SYN_SENT", "ESTABLISHED"});
            } else {
                record.traffic(0, size).ended("END_REMOTE_RESET").reset_received("ESTABLISHED");
                record.timeline({"SYN_RECV", "ESTABLISHED"}).error(ECONNRESET);
            }
            CHECK(record.differences(told) == "");
        }
        CHECK(client_ids.size() == rounds);
        CHECK(server_ids.size() == rounds);
        CHECK(sizes == std::map<uint64_t, int>{{1, 2}, {2, 2}, {3, 2}});
    });
}
