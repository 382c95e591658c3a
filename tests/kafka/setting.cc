// SPDX-License-Identifier: Apache-2.0
#include "tests/kafka/setting.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/catch.h"

namespace tests {

namespace {

std::string environment(const char* name, const char* otherwise) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0' ? value : otherwise;
}

}  // namespace

std::string built(const std::string& name) {
    return environment("BUILD", "build") + "/" + name;
}

std::string brokers() {
    return "127.0.0.1:" + environment("KAFKA_PORT", "9092");
}

Setting::Setting(const std::string& servers) : servers_(servers) {
    static int number = 0;
    name_ = "test-" + std::to_string(getpid()) + "-" + std::to_string(++number);
}

std::vector<std::string> Setting::agent(const std::string& servers,
                                        const std::vector<std::string>& settings) const {
    std::vector<std::string> command = with_topics(
        {built("tcptrail"), "run", "--set", "kafka.brokers=" + servers, "--set", "spool.directory=" + spool(),
         "--set", "capture.pin=", "--set", "serve.socket=" + socket()});
    for (const std::string& setting : settings) {
        command.emplace_back("--set");
        command.push_back(setting);
    }
    return command;
}

Finished Setting::status(const std::string& form) const {
    return run({built("tcptrail"), "status", "--socket", socket(), "-o", form});
}

Finished Setting::topics(const std::string& verb) const {
    return run(with_topics({built("tcptrail"), "topics", verb, "--brokers", servers_}));
}

void Setting::create_topics() const {
    const Finished created = topics("create");
    INFO(created.output << created.errors);
    REQUIRE(created.status == 0);
}

Finished Setting::consume() const {
    return run(with_topics({built("tcptrail"), "consume", "--brokers", servers_, "--from", "beginning",
                            "--verify", "-o", "jsonl"}),
               seconds(600));
}

std::vector<nlohmann::json> Setting::reports() const {
    const Finished consumed =
        run(with_topics({built("tcptrail"), "consume", "--brokers", servers_, "--topic", name_ + ".agents",
                         "--from", "beginning", "--verify", "-o", "jsonl"}),
            seconds(60));
    INFO(consumed.errors);
    REQUIRE(consumed.status <= 1);  // 1: with holes, which an account has to explain
    std::vector<nlohmann::json> reports;
    std::istringstream lines(consumed.output);
    for (std::string line; std::getline(lines, line);)
        reports.push_back(nlohmann::json::parse(line));
    return reports;
}

uint64_t Setting::delivered() const {
    const Finished plain = run({built("tests/kafka/plain_consumer"), servers_, topic()});
    std::istringstream lines(plain.output);
    for (std::string kind, count; lines >> kind >> count;) {
        if (kind == "EVENT_KIND_CLOSED") return std::stoull(count);
    }
    return 0;
}

std::vector<std::string> Setting::with_topics(std::vector<std::string> command) const {
    for (const std::string topic : {"connections", "agents"}) {
        command.emplace_back("--set");
        command.push_back("kafka.topics." + topic + "=" + name_ + "." + topic);
    }
    return command;
}

Verdict verdict_of(const Finished& consumed) {
    Verdict verdict;
    std::istringstream lines(consumed.errors);
    for (std::string line; std::getline(lines, line);) {
        // verify: 1 run, 20000 events, 0 holes, 0 duplicates
        // verify: 1 run, 20000 events, 2 holes (10 events missing), 0 duplicates
        if (const size_t begin = line.find('('); begin != std::string::npos)
            line.erase(begin - 1, line.find(')') + 2 - begin);
        std::istringstream words(line);
        std::string label, unit;
        if (!(words >> label) || label != "verify:") continue;
        for (uint64_t* const part : {&verdict.runs, &verdict.events, &verdict.holes, &verdict.duplicates})
            REQUIRE(words >> *part >> unit);
        return verdict;
    }
    FAIL("no verdict: " << consumed.errors);
    return verdict;
}

bool is_tracing(const Process& agent) {
    return eventually(seconds(30), [&] { return agent.errors().find("tracing") != std::string::npos; });
}

std::vector<std::string> generator(uint64_t connections, uint64_t rate) {
    return {built("tests/tools/generate"), "--netns", "new", "--connections",
            std::to_string(connections),   "--bytes", "100", "--rate",
            std::to_string(rate)};
}

Truth truth_of(const Finished& generated) {
    INFO(generated.errors);
    REQUIRE(generated.status == 0);
    const auto report = nlohmann::json::parse(generated.output);
    REQUIRE(report["errors"] == 0);
    REQUIRE(report["active_opens"] == report["connections"]);
    REQUIRE(report["passive_opens"] == report["connections"]);
    return {report["connections"], report["netns"], report["pid"]};
}

Account account_of(const std::string& jsonl, const Truth& truth) {
    Account account;
    std::istringstream lines(jsonl);
    for (std::string line; std::getline(lines, line);) {
        const auto event = nlohmann::json::parse(line);
        if (event.at("kind") != "EVENT_KIND_CLOSED") {
            account.other_kinds++;
            continue;
        }
        account.closed++;
        const uint64_t pid = event.value("process", nlohmann::json::object()).value("pid", 0U);
        if (event.at("netns") != truth.netns || (pid != 0 && pid != truth.pid)) continue;
        account.roles[event.at("role")]++;
        account.ids.insert(event.at("connection_id"));
        account.runs.insert(event.at("run_id"));
        const bool whole = !event.contains("partial");
        // JSON writes 64-bit integers as strings.
        if (whole && (event.at("bytes_sent") != "100" || event.at("bytes_received") != "100"))
            account.wrong_bytes++;
    }
    return account;
}

void require_complete(const Setting& setting, const Truth& truth) {
    const Finished consumed = setting.consume();
    INFO(consumed.errors);
    REQUIRE(consumed.status == 0);  // no hole in any run's sequence
    const Account account = account_of(consumed.output, truth);
    CHECK(account.roles.at("ROLE_CLIENT") == truth.connections);
    CHECK(account.roles.at("ROLE_SERVER") == truth.connections);
    CHECK(account.ids.size() == 2 * truth.connections);
    CHECK(account.wrong_bytes == 0);
    CHECK(account.other_kinds == 0);
    CHECK(setting.delivered() == account.closed);
}

void require_stops(Process& agent) {
    agent.signal(SIGTERM);
    const int status = agent.wait(seconds(30));
    INFO(agent.errors());
    REQUIRE(status == 0);
}

uint64_t number(const nlohmann::json& message, const char* field) {
    return std::stoull(message.value(field, "0"));
}

void check_stages(const nlohmann::json& report) {
    size_t stages = 0;
    for (const auto& stage : report.value("stages", nlohmann::json::array())) {
        uint64_t accounted = number(stage, "out") + number(stage, "held");
        for (const auto& loss : stage.value("lost", nlohmann::json::array()))
            accounted += number(loss, "count");
        INFO("report " << report["sequence"] << ": " << stage.dump());
        CHECK(number(stage, "in") == accounted);
        ++stages;
    }
    CHECK(stages == 5);
    // The agent finds the same, and that each stage took what the one before gave.
    CHECK(report.value("audit_violations", nlohmann::json::array()) == nlohmann::json::array());
    CHECK(report.value("audit_violated", 0U) == 0U);
}

}  // namespace tests
