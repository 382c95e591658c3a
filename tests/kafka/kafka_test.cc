// SPDX-License-Identifier: Apache-2.0
//
// The whole way, as a user goes it: build/tcptrail against a real Apache Kafka, real connections, and
// two consumers that judge the result. Needs root and a broker (tests/kafka/broker up).
//
// Each test has topics of its own, so that what is in the broker already does not matter, and counts
// only the connections of its generator's network namespace.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch.h"
#include "tests/kafka/acl.h"
#include "tests/kafka/deaf_broker.h"
#include "tests/kafka/process.h"
#include "tests/kafka/setting.h"

using namespace tests;

namespace {

bool no_root() {
    return geteuid() != 0;
}

}  // namespace

TEST_CASE("every connection reaches both consumers, once", "[kafka][root]") {
    if (no_root()) SKIP_TEST("needs root");
    const Setting setting;
    const Finished created = setting.topics("create");
    INFO(created.output << created.errors);
    REQUIRE(created.status == 0);
    const Finished checked = setting.topics("check");
    INFO(checked.output << checked.errors);
    REQUIRE(checked.status == 0);

    Process agent(setting.agent());
    REQUIRE(is_tracing(agent));
    const Truth truth = truth_of(run(generator(10'000)));
    require_stops(agent);
    require_complete(setting, truth);
}

// Binds to the address in a socket of its own; errno, or 0 and the address that was bound.
int bind_again(sockaddr_in& address, int type, bool keep) {
    const int fd = socket(AF_INET, type, 0);
    socklen_t length = sizeof address;
    const int error = bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0 ? 0 : errno;
    getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
    if (!keep) close(fd);
    return error;
}

TEST_CASE("the agent's report names who was refused a port by bind()", "[kafka][root]") {
    if (no_root()) SKIP_TEST("needs root");
    const Setting setting;
    REQUIRE(setting.topics("create").status == 0);
    Process agent(setting.agent());
    REQUIRE(is_tracing(agent));
    sockaddr_in taken{};
    taken.sin_family = AF_INET;
    taken.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(bind_again(taken, SOCK_STREAM, true) == 0);
    const uint16_t port = ntohs(taken.sin_port);
    for (int i = 0; i < 3; i++) {
        sockaddr_in same = taken;
        same.sin_port = htons(port);
        REQUIRE(bind_again(same, SOCK_STREAM, false) == EADDRINUSE);
    }
    // Of UDP nothing is told.
    sockaddr_in foreign{};
    foreign.sin_family = AF_INET;
    foreign.sin_addr.s_addr = htonl(0xcb007101);  // 203.0.113.1
    REQUIRE(bind_again(foreign, SOCK_DGRAM, false) == EADDRNOTAVAIL);
    require_stops(agent);

    const std::vector<nlohmann::json> reports = setting.reports();
    REQUIRE_FALSE(reports.empty());
    CHECK(reports.back().at("reason") == "REPORT_REASON_STOP");
    std::vector<nlohmann::json> ours;
    for (const auto& failure : reports.back().value("bind_failures", nlohmann::json::array()))
        if (failure.at("pid") == getpid()) ours.push_back(failure);
    REQUIRE(ours.size() == 1);
    CHECK(ours[0].at("name") == "kafka-test");
    CHECK(ours[0].at("address") == "127.0.0.1");
    CHECK(ours[0].at("port") == port);
    CHECK(ours[0].at("error") == "EADDRINUSE");
    CHECK(ours[0].at("error_number") == EADDRINUSE);
    CHECK(ours[0].at("count") == "3");
}

// Connects in short-lived namespaces until the kernel gives one the number of an earlier one.
void use_a_namespace_number_again() {
    std::set<uint64_t> numbers;
    REQUIRE(
        eventually(seconds(60), [&] { return !numbers.insert(truth_of(run(generator(500))).netns).second; }));
}

TEST_CASE("the agent's reports agree with the kernel's count", "[kafka][root]") {
    if (no_root()) SKIP_TEST("needs root");
    const Setting setting;
    REQUIRE(setting.topics("create").status == 0);
    auto command = setting.agent();
    command.insert(command.end(), {"--set", "report.interval_secs=1"});
    Process agent(command);
    REQUIRE(is_tracing(agent));
    use_a_namespace_number_again();
    const Truth truth = truth_of(run(generator(4000, 1000), seconds(60)));
    require_stops(agent);

    // The generator took four seconds: some reports came meanwhile.
    size_t looks = 0, listening = 0, used = 0;
    const auto reports = setting.reports();
    for (const auto& report : reports) {
        check_stages(report);
        for (const auto& space : report.value("namespaces", nlohmann::json::array())) {
            if (!space.contains("lifecycles_counted")) continue;
            CHECK(number(space, "lifecycles_told") <= number(space, "lifecycles_counted"));
            if (space["netns"] != truth.netns) continue;
            ++looks;
            const uint64_t counted = number(space, "lifecycles_counted"),
                           told = number(space, "lifecycles_told");
            INFO(told << " of " << counted);
            CHECK(counted <= 2 * truth.connections);
            // What no hook saw counts as not told (the blind spot).
            CHECK(told >= counted - counted / 10);
            CHECK(space["local_port_first"].get<int>() < space["local_port_last"].get<int>());
        }
        for (const auto& listener : report.value("listeners", nlohmann::json::array())) {
            if (listener["netns"] != truth.netns) continue;
            ++listening;
            CHECK(listener["name"] == "generate");
            CHECK(listener.contains("accept_queue_limit"));
        }
        for (const auto& destination : report.value("destinations", nlohmann::json::array())) {
            // Without a share of the range its namespace is gone.
            if (destination["netns"] != truth.netns || !destination.contains("port_range_use")) continue;
            ++used;
            CHECK(destination.contains("time_wait"));
            CHECK(destination.value("port_range_use", 0.0) > 0);
        }
    }
    CHECK(looks >= 2);
    CHECK(listening >= 2);
    CHECK(used >= 2);
    CHECK(reports.back().value("capture_ratio", 0.0) > 0.9);
}

TEST_CASE("a missing topic is named, and its events wait until it is made", "[kafka][root]") {
    if (no_root()) SKIP_TEST("needs root");
    const Setting setting;
    CHECK(setting.topics("check").status == 1);

    Process agent(setting.agent());
    REQUIRE(is_tracing(agent));
    const Truth truth = truth_of(run(generator(1'000)));
    // Both are missing; it names the one that it needs first.
    CHECK(
        eventually(seconds(30), [&] { return agent.errors().find("does not exist") != std::string::npos; }));
    CHECK_THAT(agent.errors(), Catch::Matchers::ContainsSubstring("topic " + setting.name()));

    REQUIRE(setting.topics("create").status == 0);
    CHECK(eventually(seconds(60), [&] { return setting.delivered() >= 2 * truth.connections; }));
    require_stops(agent);
    require_complete(setting, truth);
}

TEST_CASE("a topic that it may not write to is named, and its events wait until it may", "[kafka][root]") {
    if (no_root()) SKIP_TEST("needs root");
    const Setting setting;
    REQUIRE(setting.topics("create").status == 0);
    // Told by the metadata, or by the answer to the first message.
    const auto access = GENERATE(Access::none, Access::describe);
    AccessRule rule(brokers(), setting.topic(), access);

    Process agent(setting.agent());
    REQUIRE(is_tracing(agent));
    const Truth truth = truth_of(run(generator(1'000)));
    const std::string expected = "do not allow to write to topic " + setting.topic();
    CHECK(eventually(seconds(30), [&] { return agent.errors().find(expected) != std::string::npos; }));

    rule.lift();
    CHECK(eventually(seconds(90), [&] { return setting.delivered() >= 2 * truth.connections; }));
    require_stops(agent);
    require_complete(setting, truth);
}

TEST_CASE("events that could not be delivered wait on disk for the next start", "[kafka][root]") {
    if (no_root()) SKIP_TEST("needs root");
    const Setting setting;
    Truth truth{};
    {
        Process agent(setting.agent());
        REQUIRE(is_tracing(agent));
        truth = truth_of(run(generator(1'000)));
        require_stops(agent);
    }
    REQUIRE(setting.topics("create").status == 0);

    Process agent(setting.agent());
    CHECK(eventually(seconds(60), [&] { return setting.delivered() >= 2 * truth.connections; }));
    require_stops(agent);
    require_complete(setting, truth);
}

// The events of connections to a port of this host, by the end that they are of. Other namespaces have
// the same ports.
struct EndsAt {
    std::vector<nlohmann::json> servers;
    std::vector<nlohmann::json> clients;
};

EndsAt ends_at(uint16_t port, const std::string& jsonl) {
    EndsAt ends;
    struct stat netns{};
    REQUIRE(stat("/proc/self/ns/net", &netns) == 0);
    std::istringstream lines(jsonl);
    for (std::string line; std::getline(lines, line);) {
        const auto event = nlohmann::json::parse(line);
        if (event.at("netns") != netns.st_ino) continue;
        if (event.value("local_port", 0) == port) ends.servers.push_back(event);
        if (event.value("remote_port", 0) == port) ends.clients.push_back(event);
    }
    return ends;
}

// Case 45 of the project's lifecycle cases.
TEST_CASE("the agent's own connections to Kafka are told only where that is asked for", "[kafka][root]") {
    if (no_root()) SKIP_TEST("needs root");
    const bool asked = GENERATE(false, true);
    const Setting setting;
    const Finished created = setting.topics("create");
    INFO(created.output << created.errors);
    REQUIRE(created.status == 0);
    DeafBroker deaf;
    pid_t pid = 0;
    uint64_t expected = 0;
    {
        std::vector<std::string> command = setting.agent(deaf.address());
        command.insert(command.end(), {"--set", "kafka.properties.reconnect.backoff.max.ms=200"});
        if (asked) command.insert(command.end(), {"--set", "capture.include_self=true"});
        Process agent(command);
        pid = agent.pid();
        REQUIRE(is_tracing(agent));
        // It has tried before it saw anything.
        const uint64_t before = deaf.taken();
        REQUIRE(eventually(seconds(60), [&] { return deaf.taken() >= before + 3; }));
        deaf.stop();
        expected = deaf.taken() - before;
        std::this_thread::sleep_for(seconds(1));  // the last ones come to their end
        require_stops(agent);
    }
    // What it saw is delivered by the next one, whose own connections are no matter.
    Process agent(setting.agent());
    CHECK(eventually(seconds(60), [&] {
        return ends_at(deaf.port(), setting.consume().output).servers.size() >= expected;
    }));
    require_stops(agent);

    const Finished consumed = setting.consume();
    INFO(consumed.errors);
    REQUIRE(consumed.status == 0);
    const EndsAt ends = ends_at(deaf.port(), consumed.output);
    // The other end is this process's, and told in any case.
    CHECK(ends.servers.size() >= expected);
    for (const auto& event : ends.servers)
        CHECK(event["process"]["pid"] == getpid());
    if (!asked) {
        CHECK(ends.clients.empty());
        return;
    }
    std::set<std::string> ids;
    for (const auto& event : ends.clients) {
        INFO(event.dump());
        CHECK(event["role"] == "ROLE_CLIENT");
        CHECK(event["process"]["pid"] == pid);
        CHECK(event["process"]["name"] == "tcptrail");
        CHECK(ids.insert(event["connection_id"]).second);
    }
    CHECK(ids.size() >= expected);
}

TEST_CASE("nothing is lost while the broker is away", "[kafka][root]") {
    if (no_root()) SKIP_TEST("needs root");
    const Setting setting;
    REQUIRE(setting.topics("create").status == 0);
    Process agent(setting.agent());
    REQUIRE(is_tracing(agent));

    Process load(generator(16'000, 1'000));
    std::this_thread::sleep_for(seconds(2));
    REQUIRE(run({"tests/kafka/broker", "down"}).status == 0);
    std::this_thread::sleep_for(seconds(3));
    const Finished up = run({"tests/kafka/broker", "up"}, seconds(120));
    INFO(up.errors);
    REQUIRE(up.status == 0);
    const int status = load.wait(seconds(60));
    const Truth truth = truth_of({status, load.output(), load.errors()});

    CHECK(eventually(seconds(90), [&] { return setting.delivered() >= 2 * truth.connections; }));
    require_stops(agent);
    require_complete(setting, truth);
}
