// SPDX-License-Identifier: Apache-2.0
//
// What is open: `tcptrail list`, and the events of connections that last (case 41).
#include <linux/filter.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/privileges.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/watch.h"

using namespace tcptrail::test;

namespace {

struct Listing {
    int exit_status = -1;
    std::string errors;
    std::vector<Event> events;
};

std::string rest_of(std::FILE* file) {
    std::rewind(file);
    std::string text;
    for (int c; (c = std::fgetc(file)) != EOF;)
        text += static_cast<char>(c);
    return text;
}

// Runs `tcptrail list -o jsonl` with these arguments.
Listing list(const std::vector<std::string>& arguments, Privileges privileges = Privileges::root,
             const char* output_file = nullptr) {
    std::vector<std::string> words{binary(), "list", "-o", "jsonl"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words)
        argv.push_back(word.data());
    argv.push_back(nullptr);
    std::FILE* const output = output_file != nullptr ? std::fopen(output_file, "w") : std::tmpfile();
    std::FILE* const errors = std::tmpfile();
    REQUIRE(output != nullptr);
    REQUIRE(errors != nullptr);
    const pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        dup2(fileno(output), STDOUT_FILENO);
        dup2(fileno(errors), STDERR_FILENO);
        _exit(execute_as(privileges, argv));
    }
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    Listing listing;
    listing.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    listing.errors = rest_of(errors);
    std::istringstream lines(rest_of(output));
    for (std::string line; std::getline(lines, line);)
        listing.events.push_back(parse_event(line));
    std::fclose(output);
    std::fclose(errors);
    return listing;
}

std::vector<std::string> only(const Netns& net) {
    return {"--netns", std::to_string(net.inode())};
}

// For scenario(): what is told of the same connection before its end lacks the same.
void refuse_blind_spot(const std::vector<Event>& ends) {
    for (const Event& end : ends)
        if (end.in_blind_spot()) throw BlindSpot(end.line);
}

const Event& of_role(const std::vector<Event>& events, const std::string& role) {
    const Event* found = nullptr;
    for (const Event& event : events) {
        if (event.text("role") != role) continue;
        REQUIRE(found == nullptr);
        found = &event;
    }
    REQUIRE(found != nullptr);
    return *found;
}

std::vector<Event> events_of(const Observer& observer, const std::string& kind) {
    std::vector<Event> events;
    size_t offset = 0;
    for (const std::string& line : observer.lines_from(offset))
        if (Event event = parse_event(line); event.text("kind") == kind) events.push_back(event);
    return events;
}

}  // namespace

TEST_CASE("list: both ends of an open connection, as their records will name them", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "list-server");
        Actor client(net, "list-client");
        const Connection c = establish(client, server, loopback(AF_INET));
        REQUIRE(client.call([=] { return send_bytes(c.client_fd, 3000); }) == 0);
        REQUIRE(server.call([=] { return await_unread(c.server_fd, 3000); }) == 0);
        sleep_ms(100);
        const Listing listing = list(only(net));
        INFO(listing.errors);
        REQUIRE(listing.exit_status == 0);
        REQUIRE(listing.events.size() == 2);
        const Event& at_client = of_role(listing.events, "ROLE_CLIENT");
        const Event& at_server = of_role(listing.events, "ROLE_SERVER");
        for (const Event* event : {&at_client, &at_server}) {
            CHECK(event->text("kind") == "EVENT_KIND_PROGRESS");
            CHECK(event->text("state") == "STATE_ESTABLISHED");
            CHECK(event->text("outcome") == "OUTCOME_ESTABLISHED");
            CHECK_FALSE(event->has("end"));
            CHECK_FALSE(event->has("ended_unix_nanos"));
            CHECK(event->number("lifetime_us") >= 100'000);
            CHECK(event->number("idle_us") >= 90'000);
            CHECK(event->has("connect_us"));
            CHECK(event->partial.empty());
        }
        CHECK(at_client.number("process.pid") == static_cast<uint64_t>(client.pid()));
        CHECK(at_client.number("bytes_sent") == 3000);
        CHECK(at_client.number("send_queue_bytes") == 0);
        CHECK(at_server.number("process.pid") == static_cast<uint64_t>(server.pid()));
        CHECK(at_server.number("receive_queue_bytes") == 3000);
        CHECK(at_server.number("local_port") == port_of(c.server_end));

        REQUIRE(server.call([=] { return receive_bytes(c.server_fd, 3000); }) == 0);
        close_socket(client, c.client_fd);
        close_after_peer(server, c.server_fd);
        const Ends ends = watch.ends();
        CHECK(ends.client.text("connection_id") == at_client.text("connection_id"));
        CHECK(ends.server.text("connection_id") == at_server.text("connection_id"));
        CHECK(list(only(net)).events.empty());
    });
}

TEST_CASE("list: attempts, half-closed ends, and what nobody has accepted", "[kernel]") {
    scenario([] {
        Netns net;
        Watch watch{&net};
        Actor server(net, "half-server");
        Actor client(net, "half-client");
        const int listener = listening(server, loopback(AF_INET));
        const Endpoint to = server.call([=] { return local_end(listener); });
        const int fd = client.call([=] { return connect_to(to); });
        REQUIRE(fd >= 0);
        const Listing waiting = list(only(net));
        REQUIRE(waiting.events.size() == 2);
        CHECK(of_role(waiting.events, "ROLE_SERVER").text("process.name") == "half-server");
        CHECK_FALSE(of_role(waiting.events, "ROLE_SERVER").has("accept_wait_us"));
        const int accepted = server.call([=] { return accept_one(listener); });
        REQUIRE(client.call([=] { return shutdown(fd, SHUT_WR); }) == 0);
        await(client, fd, tcp_state::fin_wait2);
        const Listing halves = list(only(net));
        REQUIRE(halves.events.size() == 2);
        CHECK(of_role(halves.events, "ROLE_CLIENT").text("state") == "STATE_FIN_WAIT2");
        CHECK(of_role(halves.events, "ROLE_SERVER").text("state") == "STATE_CLOSE_WAIT");
        close_socket(client, fd);
        close_socket(server, accepted);
        watch.ends();
    });
}

TEST_CASE("list: without CAP_SYS_ADMIN no agent is asked, and ages are absent", "[kernel]") {
    Netns net;
    Actor server(net, "poor-server");
    Actor client(net, "poor-client");
    establish(client, server, loopback(AF_INET6));
    const Listing listing = list(only(net), Privileges::root_without_admin);
    INFO(listing.errors);
    REQUIRE(listing.exit_status == 0);
    REQUIRE(listing.events.size() == 2);
    const Event& at_server = of_role(listing.events, "ROLE_SERVER");
    CHECK(at_server.number("process.pid") == static_cast<uint64_t>(server.pid()));
    CHECK(at_server.text("process.source") == "OWNER_SOURCE_SCAN");
    CHECK(at_server.text("local_address") == "::1");
    CHECK_FALSE(at_server.has("opened_unix_nanos"));
    CHECK_FALSE(at_server.has("lifetime_us"));
    CHECK(at_server.partial == std::vector<std::string>{"PARTIAL_BEGAN_BEFORE_CAPTURE"});
}

TEST_CASE("list: what it could not show or write is an error in words", "[kernel]") {
    Netns net;
    Actor server(net, "crowd-server");
    Actor client(net, "crowd-client");
    const int listener = listening(server, loopback(AF_INET));
    const Endpoint to = server.call([=] { return local_end(listener); });
    for (int i = 0; i < 70; ++i) {
        REQUIRE(client.call([=] { return connect_to(to); }) >= 0);
        REQUIRE(server.call([=] { return accept_one(listener); }) >= 0);
    }
    const Listing cut = list({"--set", "capture.max_connections=64"}, Privileges::root_without_admin);
    CHECK(cut.exit_status == 1);
    CHECK(cut.errors.find("sockets were not looked at") != std::string::npos);
    CHECK(cut.errors.find("capture.max_connections") != std::string::npos);
    const Listing whole = list(only(net), Privileges::root_without_admin);
    CHECK(whole.exit_status == 0);
    CHECK(whole.events.size() == 140);
    CHECK(whole.errors.find("CAP_SYS_ADMIN") != std::string::npos);
    const Listing full = list(only(net), Privileges::root, "/dev/full");
    CHECK(full.exit_status == 1);
    CHECK(full.errors.find("No space left on device") != std::string::npos);
}

TEST_CASE("list: what a listener's own filter drops is no overflow", "[kernel]") {
    Netns net;
    Watch watch{&net};
    Actor server(net, "picky-server");
    Actor client(net, "picky-client");
    const int listener = listening(server, loopback(AF_INET));
    const Endpoint to = server.call([=] { return local_end(listener); });
    REQUIRE(server.call([=] {
        sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
        const sock_fprog program{1, &drop_all};
        return setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
    }) == 0);
    REQUIRE(client.call([=] {
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fd, to.address(), to.length);
        return close(fd);
    }) == 0);
    std::vector<std::string> arguments = only(net);
    arguments.emplace_back("--listening");
    const Listing listing = list(arguments);
    REQUIRE(listing.events.size() == 1);
    CHECK(listing.events[0].number("drops") == 1);
    CHECK_FALSE(listing.events[0].has("accept_queue_overflows"));
    CHECK_FALSE(listing.events[0].has("syn_drops"));
    CHECK(watch.one().text("outcome") == "OUTCOME_ABANDONED");
}

TEST_CASE("case 25: the listener whose accept queue is full", "[kernel]") {
    Netns net;
    Watch watch{&net};
    Actor server(net, "deaf-server");
    Actor client(net, "deaf-client");
    const int listener = listening(server, loopback(AF_INET), 1);
    const Endpoint to = server.call([=] { return local_end(listener); });
    std::vector<std::string> arguments = only(net);
    arguments.emplace_back("--listening");
    const auto look = [&] {
        const Listing listing = list(arguments);
        INFO(listing.errors);
        REQUIRE(listing.exit_status == 0);
        REQUIRE(listing.events.size() == 1);
        return listing.events[0];
    };
    const Event before = look();
    CHECK(before.text("name") == "deaf-server");
    CHECK(before.number("pid") == static_cast<uint64_t>(server.pid()));
    CHECK(before.text("local_address") == "127.0.0.1");
    CHECK(before.number("local_port") == port_of(to));
    CHECK(before.number("accept_queue_limit") == 1);
    CHECK(before.number("accept_queue").value_or(0) == 0);
    CHECK(before.number("drops").value_or(0) == 0);
    CHECK(before.number("accept_queue_overflows") == 0);
    CHECK(before.has("opened_unix_nanos"));

    // A limit of 1 lets two wait; the third is dropped.
    for (int i = 0; i < 2; ++i)
        REQUIRE(client.call([=] { return connect_to(to); }) >= 0);
    client.start([=] { return connect_to(to); });
    sleep_ms(300);
    const Event after = look();
    CHECK(after.number("accept_queue") == 2);
    CHECK(after.number("drops") >= 1);
    CHECK(after.number("accept_queue_overflows") == after.number("drops"));
    CHECK(after.number("syn_drops") == 0);
    REQUIRE(server.call([=] { return close(listener); }) == 0);
    CHECK(client.finish<int>() == -ECONNREFUSED);
    CHECK(list(arguments).events.empty());
}

TEST_CASE("case 41: a connection that lasts is told of while it does", "[kernel]") {
    scenario([] {
        Netns net;
        std::vector<std::string> arguments = only(net);
        arguments.insert(arguments.end(), {"--set", "connections.progress_interval_secs=1"});
        Observer observer(arguments);
        Actor server(net, "long-server");
        Actor client(net, "long-client");
        const Connection c = establish(client, server, loopback(AF_INET));
        for (int i = 0; i < 7; ++i) {
            transfer(client, c.client_fd, server, c.server_fd, 1000);
            sleep_ms(500);
        }
        close_socket(client, c.client_fd);
        close_after_peer(server, c.server_fd);
        const Summary summary = observer.stop(SIGINT);
        CHECK(summary.seen == summary.told + summary.lost);

        const std::vector<Event> ends = events_of(observer, "EVENT_KIND_CLOSED");
        refuse_blind_spot(ends);
        REQUIRE(ends.size() == 2);
        for (const Event& end : ends) {
            const bool is_client = end.text("role") == "ROLE_CLIENT";
            const char* const counter = is_client ? "bytes_sent" : "bytes_received";
            uint64_t last_bytes = 0, last_sequence = 0, last_lifetime = 0;
            size_t count = 0;
            for (const Event& event : events_of(observer, "EVENT_KIND_PROGRESS")) {
                if (event.text("role") != end.text("role")) continue;
                ++count;
                CHECK(event.text("connection_id") == end.text("connection_id"));
                CHECK(event.text("state") == "STATE_ESTABLISHED");
                CHECK(event.text("process.name") == (is_client ? "long-client" : "long-server"));
                CHECK(event.number(counter) > last_bytes);
                CHECK(event.number("sequence") > last_sequence);
                // No more often than once in a second, the first not before it is that old.
                CHECK(event.number("lifetime_us") >= last_lifetime + 1'000'000);
                last_bytes = event.number(counter).value_or(0);
                last_sequence = event.number("sequence").value_or(0);
                last_lifetime = event.number("lifetime_us").value_or(0);
            }
            CHECK(count >= 2);
            CHECK(count <= 4);
            CHECK(end.number(counter) == 7000);
            CHECK(end.number("sequence") > last_sequence);
        }
    });
}

// Of these two slots have room for two at most.
TEST_CASE("case 41: connections that have no slot are told of, too", "[kernel]") {
    scenario([] {
        constexpr int count = 10;
        Netns net;
        std::vector<std::string> arguments = only(net);
        arguments.insert(arguments.end(), {"--set", "connections.progress_interval_secs=1", "--set",
                                           "capture.max_connections=128"});
        Observer observer(arguments);
        Actor server(net, "many-server");
        Actor client(net, "many-client");
        std::vector<Connection> open;
        for (int i = 0; i < count; ++i)
            open.push_back(establish(client, server, loopback(AF_INET)));
        sleep_ms(2500);
        for (const Connection& c : open) {
            close_socket(client, c.client_fd);
            close_after_peer(server, c.server_fd);
        }
        const Summary summary = observer.stop(SIGINT);
        CHECK(summary.seen == summary.told + summary.lost);
        const std::vector<Event> ends = events_of(observer, "EVENT_KIND_CLOSED");
        refuse_blind_spot(ends);
        std::set<std::string> meanwhile;
        for (const Event& event : events_of(observer, "EVENT_KIND_PROGRESS"))
            meanwhile.insert(event.text("connection_id"));
        CHECK(meanwhile.size() == 2 * count);
        CHECK(ends.size() == 2 * count);
        for (const Event& end : ends) {
            CHECK(meanwhile.contains(end.text("connection_id")));
            CHECK(end.text("process.name").starts_with("many-"));
            CHECK(end.partial.empty());
        }
    });
}

TEST_CASE("case 32: the agent restarts while a connection is open", "[kernel]") {
    scenario([] {
        Netns net;
        Actor server(net, "steady-server");
        Actor client(net, "steady-client");
        Observer first(only(net));
        const Connection c = establish(client, server, loopback(AF_INET));
        exchange(client, server, c, 100, 200);
        const Summary summary = first.stop(SIGTERM);
        CHECK(summary.seen == summary.told + summary.lost);
        size_t offset = 0;
        CHECK(first.lines_from(offset).empty());

        Observer second(only(net));
        Watch watch({&net}, second);
        exchange(client, server, c, 1, 2);
        close_socket(client, c.client_fd);
        close_after_peer(server, c.server_fd);
        const Ends ends = watch.ends();
        for (const Event* event : {&ends.client, &ends.server}) {
            CHECK(event->partial == std::vector<std::string>{"PARTIAL_BEGAN_BEFORE_CAPTURE"});
            CHECK(event->text("process.source") == "OWNER_SOURCE_SCAN");
            CHECK_FALSE(event->has("connect_us"));
            CHECK_FALSE(event->has("opened_unix_nanos"));
        }
        CHECK(ends.client.number("process.pid") == static_cast<uint64_t>(client.pid()));
        CHECK(ends.client.number("bytes_sent") == 101);
        CHECK(ends.client.text("end") == "END_LOCAL_CLOSE");
        CHECK(ends.server.number("process.pid") == static_cast<uint64_t>(server.pid()));
        CHECK(ends.server.text("end") == "END_REMOTE_CLOSE");
    });
}

TEST_CASE("a connection is told of when it is established, if that is wanted", "[kernel]") {
    scenario([] {
        Netns net;
        std::vector<std::string> arguments = only(net);
        arguments.insert(arguments.end(), {"--set", "connections.opened=true"});
        Observer observer(arguments);
        Actor server(net, "open-server");
        Actor client(net, "open-client");
        const Connection c = establish(client, server, loopback(AF_INET));
        close_socket(client, c.client_fd);
        close_after_peer(server, c.server_fd);
        const Summary summary = observer.stop(SIGINT);
        CHECK(summary.seen == summary.told + summary.lost);
        CHECK(summary.lost == 0);
        const std::vector<Event> opened = events_of(observer, "EVENT_KIND_OPENED");
        const std::vector<Event> ends = events_of(observer, "EVENT_KIND_CLOSED");
        refuse_blind_spot(ends);
        REQUIRE(opened.size() == 2);
        REQUIRE(ends.size() == 2);
        for (const Event& event : opened) {
            const Event& end = of_role(ends, event.text("role"));
            CHECK(event.text("connection_id") == end.text("connection_id"));
            CHECK(event.text("outcome") == "OUTCOME_ESTABLISHED");
            CHECK(event.text("state") == "STATE_ESTABLISHED");
            CHECK(event.number("connect_us") == end.number("connect_us"));
            CHECK_FALSE(event.has("end"));
            CHECK(event.number("sequence") < end.number("sequence"));
        }
    });
}
