// SPDX-License-Identifier: Apache-2.0
//
// How an observer begins, filters and ends.
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/watch.h"

using namespace tcptrail::test;

namespace {

std::vector<Event> all_events(const Observer& observer) {
    std::vector<Event> events;
    size_t offset = 0;
    for (const std::string& line : observer.lines_from(offset))
        events.push_back(parse_event(line));
    return events;
}

std::vector<std::string> only(const Netns& net) {
    return {"--netns", std::to_string(net.inode())};
}

}  // namespace

TEST_CASE("Ctrl-C and SIGTERM end an observer with its summary", "[kernel]") {
    const int signal = GENERATE(SIGINT, SIGTERM);
    Netns net;
    Observer observer(only(net));
    Actor server(net, "cli-server");
    Actor client(net, "cli-client");
    burst(client, server, 10);
    // At once: what is still in the ring must come out before the end.
    const Summary summary = observer.stop(signal);
    INFO(summary.line);
    CHECK(summary.exit_status == 0);
    CHECK_FALSE(summary.line.empty());
    CHECK(summary.seen == summary.told + summary.lost);
    CHECK(summary.lost == 0);
    CHECK(all_events(observer).size() == 20);
}

TEST_CASE("--count ends an observer by itself", "[kernel]") {
    Netns net;
    std::vector<std::string> arguments = only(net);
    arguments.insert(arguments.end(), {"--count", "3"});
    Observer observer(arguments);
    Actor server(net, "cli-server");
    Actor client(net, "cli-client");
    burst(client, server, 10);
    const Summary summary = observer.wait_end();
    CHECK(summary.exit_status == 0);
    CHECK_FALSE(summary.line.empty());
    CHECK(all_events(observer).size() == 3);
}

TEST_CASE("--duration ends an observer by itself", "[kernel]") {
    Netns net;
    std::vector<std::string> arguments = only(net);
    arguments.insert(arguments.end(), {"--duration", "2"});
    const uint64_t begin = unix_nanos();
    Observer observer(arguments);
    Actor server(net, "cli-server");
    Actor client(net, "cli-client");
    burst(client, server, 5);
    const Summary summary = observer.wait_end();
    const uint64_t took_ms = (unix_nanos() - begin) / 1'000'000;
    CHECK(took_ms >= 2'000);
    CHECK(took_ms < 10'000);
    CHECK(summary.exit_status == 0);
    CHECK(summary.seen == summary.told + summary.lost);
    CHECK(all_events(observer).size() == 10);
}

TEST_CASE("filters", "[kernel]") {
    Netns net;
    Netns other;
    Actor server(net, "filter-server");
    Actor client(net, "filter-client");
    Actor other_server(other, "other-server");
    Actor other_client(other, "other-client");
    const Endpoint nobody = loopback(AF_INET, 99);

    // What a filter lets through of three connections here, a refused attempt here, and two
    // connections in another namespace.
    const auto told_with = [&](const std::vector<std::string>& filter) {
        Observer observer(filter);
        burst(client, server, 3);
        REQUIRE(client.call([=] { return connect_to(nobody); }) == -ECONNREFUSED);
        burst(other_client, other_server, 2);
        observer.stop(SIGINT);
        std::vector<Event> ours;
        for (const Event& event : all_events(observer)) {
            if (event.number("netns") == net.inode() || event.number("netns") == other.inode()) {
                ours.push_back(event);
            }
        }
        return ours.size();
    };
    CHECK(told_with({}) == 11);
    CHECK(told_with(only(net)) == 7);
    CHECK(told_with({"--failed"}) == 1);
    CHECK(told_with({"--pid", std::to_string(client.pid())}) == 4);
    CHECK(told_with({"--process", "filter-server"}) == 3);
    CHECK(told_with({"--port", "99"}) == 1);
    CHECK(told_with({"--address", "127.0.0.0/8"}) == 11);
    CHECK(told_with({"--address", "10.0.0.0/8"}) == 0);
    CHECK(told_with({"--role", "server"}) == 5);
    CHECK(told_with({"--role", "client", "--netns", std::to_string(other.inode())}) == 2);
}

TEST_CASE("check says that this host can run it, after a trial of its own", "[kernel]") {
    const std::string command = binary() + " check 2>&1";
    std::FILE* const pipe = popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string output;
    for (int c; (c = std::fgetc(pipe)) != EOF;)
        output += static_cast<char>(c);
    const int status = pclose(pipe);
    INFO(output);
    CHECK(status == 0);
    CHECK(output.find(" of 200 lifecycles of a self-test over loopback told") != std::string::npos);
    CHECK(output.find("This host can run tcptrail.") != std::string::npos);
}

TEST_CASE("as nobody with CAP_BPF and CAP_PERFMON alone it tells, and says what it cannot", "[kernel]") {
    scenario([] {
        Netns net;
        Observer observer(only(net), Privileges::nobody);
        // Results of calls need tracefs where the kernel refuses trampolines.
        const std::string& line = observer.tracing_line();
        INFO(line);
        const bool calls = line.find("which process accepted") == std::string::npos;
        CHECK(calls == (line.find("attempts that end before a SYN is sent") == std::string::npos));
        CHECK(calls == (line.find("tracefs") == std::string::npos));
        CHECK(line.find("executables of other users' processes (without CAP_SYS_PTRACE)") !=
              std::string::npos);
        CHECK(line.find("(without CAP_DAC_READ_SEARCH)") != std::string::npos);
        Watch watch({&net}, observer);
        Actor server(net, "plain-server");
        Actor client(net, "plain-client");
        const Connection c = establish(client, server, loopback(AF_INET));
        exchange(client, server, c, 100, 200);
        close_socket(client, c.client_fd);
        close_after_peer(server, c.server_fd);
        const Ends ends = watch.ends();
        for (const Event* event : {&ends.client, &ends.server}) {
            CHECK(event->text("outcome") == "OUTCOME_ESTABLISHED");
            CHECK(event->partial.empty());
            CHECK(event->has("connect_us"));
            // /proc/PID/exe of others is CAP_SYS_PTRACE's.
            CHECK_FALSE(event->has("process.executable"));
        }
        CHECK(ends.client.number("process.pid") == static_cast<uint64_t>(client.pid()));
        CHECK(ends.client.text("end") == "END_LOCAL_CLOSE");
        CHECK(ends.client.number("bytes_sent") == 100);
        CHECK(ends.server.number("process.pid") == static_cast<uint64_t>(server.pid()));
        CHECK(ends.server.has("accept_wait_us") == calls);
        const Summary summary = observer.stop(SIGINT);
        CHECK(summary.exit_status == 0);
        CHECK(summary.seen == summary.told + summary.lost);
    });
}
