// SPDX-License-Identifier: Apache-2.0
//
// connect(), accept() and close() through io_uring: case 40.
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/record.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/uring.h"
#include "tests/kernel/watch.h"

using namespace tcptrail::test;

namespace {

constexpr uint64_t minute_us = 60'000'000;

// Where trampolines are refused the observer says that it does not see the results of such calls.
bool results_are_seen() {
    return shared_observer().tracing_line().find("io_uring") == std::string::npos;
}

// A worker thread of the kernel's belongs to the process and has a name of its own.
void called_by(Record& record, const Actor& caller, UringThread thread) {
    if (thread == UringThread::worker)
        record.is("process.thread_name", "iou-wrk-" + std::to_string(caller.pid()));
}

}  // namespace

TEST_CASE("case 40: connect, accept and close through io_uring", "[kernel]") {
    if (const std::string reason = why_no_uring(); !reason.empty()) SKIP_TEST(reason);
    const int family = GENERATE(AF_INET, AF_INET6);
    const auto thread = GENERATE(UringThread::caller, UringThread::worker);
    scenario([=] {
        int channel[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) == 0);
        Netns net;
        Watch watch{&net};
        Actor parent(net, "uring-parent");
        Actor server(net, "uring-server", {.uid = 65534});
        Actor client(net, "uring-client", {.uid = 65534});
        // One process listens and another accepts.
        const int listener = listening(parent, loopback(family));
        REQUIRE(parent.call([=] { return pass_socket(channel[0], listener); }) == 0);
        const int passed = server.call([=] { return take_socket(channel[1]); });
        REQUIRE(passed >= 0);
        close(channel[0]);
        close(channel[1]);

        Connection made{};
        made.server_end = parent.call([=] { return local_end(listener); });
        made.client_fd = client.call([=, to = made.server_end] { return uring_connect(to, thread); });
        REQUIRE(made.client_fd >= 0);
        made.client_end = client.call([=] { return local_end(made.client_fd); });
        constexpr uint64_t late_us = 100'000;
        sleep_ms(late_us / 1000);
        made.server_fd = server.call([=] { return uring_accept(passed, thread); });
        REQUIRE(made.server_fd >= 0);
        exchange(client, server, made, 1000, 5000);
        REQUIRE(client.call([=] { return uring_close(made.client_fd, thread); }) == 0);
        close_after_peer(server, made.server_fd);
        const Ends told = watch.ends();

        Record client_record = Record::client(client, made.client_end, made.server_end);
        client_record.traffic(1000, 5000).ended("END_LOCAL_CLOSE").ended_by(client);
        client_record.timeline({"SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"});
        called_by(client_record, client, thread);
        CHECK(client_record.differences(told.client) == "");

        const bool seen = results_are_seen();
        Record server_record = Record::server(seen ? server : parent, made.server_end, made.client_end);
        server_record.traffic(5000, 1000).ended("END_REMOTE_CLOSE");
        server_record.timeline({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"});
        if (seen) {
            server_record.is("process.source", "OWNER_SOURCE_ACCEPT");
            server_record.between("accept_wait_us", late_us, minute_us);
            called_by(server_record, server, thread);
        } else {
            server_record.is("process.source", "OWNER_SOURCE_LISTENER").absent("accept_wait_us");
        }
        CHECK(server_record.differences(told.server) == "");
    });
}

TEST_CASE("case 40: refused through io_uring", "[kernel]") {
    if (const std::string reason = why_no_uring(); !reason.empty()) SKIP_TEST(reason);
    const auto thread = GENERATE(UringThread::caller, UringThread::worker);
    scenario([=] {
        Netns net;
        Watch watch{&net};
        Actor client(net, "uring-client", {.uid = 65534});
        const Endpoint to = loopback(AF_INET, 99);
        REQUIRE(client.call([=] { return uring_connect(to, thread); }) == -ECONNREFUSED);

        Record record = Record::failed(client, address_text(to), to, "OUTCOME_REFUSED");
        record.error(ECONNREFUSED).reset_received("SYN_SENT").between("lifetime_us", 1, minute_us);
        record.is("segments_in", 1);
        called_by(record, client, thread);
        CHECK(record.differences(watch.one()) == "");
    });
}

TEST_CASE("case 40: no route through io_uring", "[kernel]") {
    if (const std::string reason = why_no_uring(); !reason.empty()) SKIP_TEST(reason);
    const auto thread = GENERATE(UringThread::caller, UringThread::worker);
    scenario([=] {
        Netns net;
        Watch watch{&net};
        Actor client(net, "uring-client");
        const Endpoint to = endpoint("203.0.113.1", 80);
        REQUIRE(client.call([=] { return uring_connect(to, thread); }) == -ENETUNREACH);
        // It never was an attempt but for its result.
        if (!results_are_seen()) {
            watch.closed(0);
            return;
        }
        const Event told = watch.one();
        CHECK(told.text("outcome") == "OUTCOME_NETWORK_UNREACHABLE");
        CHECK(told.number("error_number") == ENETUNREACH);
        CHECK(told.text("remote_address") == "203.0.113.1");
        CHECK(told.number("remote_port") == 80);
        CHECK(told.number("process.pid") == client.pid());
        CHECK(told.text("process.name") == "uring-client");
    });
}
