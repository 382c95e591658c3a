// SPDX-License-Identifier: Apache-2.0
//
// `tcptrail status`: what a running agent says of itself, on this kernel.
#include <signal.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/kafka/process.h"
#include "tests/kernel/actors.h"
#include "tests/kernel/observer.h"
#include "tests/kernel/scenes.h"

using namespace tcptrail::test;
using nlohmann::json;
using tests::eventually;
using tests::Finished;
using tests::Process;
using tests::seconds;

namespace {

std::vector<std::string> agent_at(const std::string& socket) {
    return {binary(), "run", "--set", "serve.socket=" + socket, "--set", "output.format=jsonl"};
}

Finished status(const std::string& socket, const std::string& form = "text") {
    return tests::run({binary(), "status", "--socket", socket, "-o", form});
}

bool is_ready(const Process& agent) {
    return eventually(seconds(60), [&] { return agent.errors().find("printing to") != std::string::npos; });
}

uint64_t number(const json& message, const char* field) {
    return std::stoull(message.value(field, "0"));
}

}  // namespace

TEST_CASE("status: a running agent says how it is", "[kernel]") {
    const tests::Folder folder;
    const std::string socket = folder.path() / "agent.sock";
    CHECK(status(socket).status == 69);
    Process agent(agent_at(socket));
    REQUIRE(is_ready(agent));
    Netns net;
    Actor server(net, "status-server");
    Actor client(net, "status-client");
    burst(client, server, 100);

    json report;
    REQUIRE(eventually(seconds(30), [&] {
        const Finished told = status(socket, "json");
        if (told.status != 0) return false;
        report = json::parse(told.output);
        return number(report, "connections_last_sequence") >= 200;
    }));
    CHECK(report.at("reason") == "REPORT_REASON_ASKED");
    CHECK(!report.contains("sequence"));  // it is no message of the run
    CHECK(!report.contains("kafka"));
    CHECK(!report.contains("audit_violations"));
    REQUIRE(report.at("stages").size() == 3);
    for (const json& stage : report.at("stages")) {
        INFO(stage.dump());
        CHECK(number(stage, "in") == number(stage, "out") + number(stage, "held"));
        CHECK(number(stage, "in") >= 200);
    }
    const Finished text = status(socket);
    INFO(text.output << text.errors);
    CHECK(text.status == 0);
    CHECK(text.output.find("audit       holds: ") != std::string::npos);
    CHECK(text.output.find("health      ok\n") != std::string::npos);

    agent.signal(SIGTERM);
    CHECK(agent.wait(seconds(60)) == 0);
    CHECK_FALSE(std::filesystem::exists(socket));
    CHECK(status(socket).status == 69);
}

TEST_CASE("status: two agents, one that was killed, and one that stands still", "[kernel]") {
    const tests::Folder folder;
    const std::string socket = folder.path() / "agent.sock";
    const auto run_of = [&] { return json::parse(status(socket, "json").output).value("run_id", ""); };
    std::string first;
    {
        Process agent(agent_at(socket));
        REQUIRE(is_ready(agent));
        REQUIRE(eventually(seconds(30), [&] { return status(socket).status == 0; }));
        first = run_of();
        Process second(agent_at(socket));
        REQUIRE(is_ready(second));
        REQUIRE(eventually(seconds(30), [&] {
            return second.errors().find(socket + " is another agent's, which runs") != std::string::npos;
        }));
        second.signal(SIGTERM);
        CHECK(second.wait(seconds(60)) == 0);
        CHECK(run_of() == first);

        agent.signal(SIGSTOP);
        const Finished silent = status(socket);
        CHECK(silent.status == 1);
        CHECK(silent.errors.find("does not answer") != std::string::npos);
        agent.signal(SIGKILL);
    }
    CHECK(std::filesystem::exists(socket));
    CHECK(status(socket).status == 69);
    Process third(agent_at(socket));
    REQUIRE(is_ready(third));
    REQUIRE(eventually(seconds(30), [&] { return status(socket).status == 0; }));
    CHECK(run_of() != first);
    third.signal(SIGTERM);
    CHECK(third.wait(seconds(60)) == 0);
}

TEST_CASE("status: an agent that cannot serve traces all the same", "[kernel]") {
    const tests::Folder folder;
    const std::string socket = folder.path() / "agent.sock";
    std::filesystem::create_directory(socket);
    Process agent(agent_at(socket));
    REQUIRE(is_ready(agent));
    CHECK(eventually(seconds(30),
                     [&] { return agent.errors().find(socket + " is no socket") != std::string::npos; }));
    agent.signal(SIGTERM);
    CHECK(agent.wait(seconds(60)) == 0);
    Process quiet(agent_at(""));
    REQUIRE(is_ready(quiet));
    quiet.signal(SIGTERM);
    CHECK(quiet.wait(seconds(60)) == 0);
    CHECK(quiet.errors().find("serve.socket") == std::string::npos);
}
