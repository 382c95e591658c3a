// SPDX-License-Identifier: Apache-2.0
//
// What can happen to Kafka, and the way to it: faults 30 to 43 of the project's list.
#include <signal.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"
#include "tests/kafka/acl.h"
#include "tests/kafka/topic.h"

using namespace tests;

namespace {

using Settings = std::vector<std::string>;

// Shorter pauses than librdkafka's, so that tests need not wait for them.
const Settings eager{"kafka.properties.reconnect.backoff.max.ms=500", "report.interval_secs=1"};

Settings with(Settings settings, const Settings& more) {
    settings.insert(settings.end(), more.begin(), more.end());
    return settings;
}

void pause(int milliseconds) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

Truth truth_of(Process& load) {
    const int status = load.wait(seconds(120));
    return tests::truth_of(Finished{status, load.output(), load.errors()});
}

// Nothing is lost: what is delivered is all that the generator made, whatever else was seen.
void require_nothing_lost(const Setting& setting, Process& agent, const std::vector<Truth>& truths) {
    uint64_t ends = 0;
    for (const Truth& truth : truths)
        ends += 2 * truth.connections;
    require_delivered(setting, ends);
    require_stops(agent);
    const Outcome outcome = require_audit(setting, truths);
    CHECK(outcome.lost == 0);
}

}  // namespace

TEST_CASE("fault 30: all brokers are down at the start", "[faults][root]") {
    Broker& broker = Broker::shared();
    const Setting setting;
    setting.create_topics();
    broker.stop();
    Process agent(setting.agent(brokers(), eager));
    REQUIRE(is_tracing(agent));
    const Truth truth = tests::truth_of(run(generator(2000)));
    broker.start();
    require_nothing_lost(setting, agent, {truth});
}

TEST_CASE("fault 31: the broker is killed while it takes events", "[faults][root]") {
    Broker& broker = Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(setting.agent(brokers(), eager));
    REQUIRE(is_tracing(agent));
    Process load(generator(5000, 1000));
    require_delivered(setting, 500);
    broker.kill();
    broker.start();
    require_nothing_lost(setting, agent, {truth_of(load)});
}

TEST_CASE("fault 32: the broker is frozen and thawed in turns", "[faults][root]") {
    Broker& broker = Broker::shared();
    const Setting setting;
    setting.create_topics();
    // Shorter than a freeze, so that it gives requests up.
    Process agent(setting.agent(brokers(), with(eager, {"kafka.properties.socket.timeout.ms=1000",
                                                        "kafka.properties.message.timeout.ms=3000"})));
    REQUIRE(is_tracing(agent));
    Process load(generator(6000, 1000));
    for (int turn = 0; turn < 2; ++turn) {
        pause(500);
        broker.freeze();
        pause(2000);
        broker.thaw();
    }
    require_nothing_lost(setting, agent, {truth_of(load)});
}

TEST_CASE("fault 33: packets to the broker are lost, all or one in fifty", "[.long][root]") {
    Broker::shared();
    const unsigned permille = GENERATE(1000U, 20U);
    const Setting setting;
    setting.create_topics();
    Process agent(setting.agent(brokers(), with(eager, {"kafka.properties.socket.timeout.ms=2000"})));
    REQUIRE(is_tracing(agent));
    Process load(generator(5000, 1000));
    require_delivered(setting, 500);
    Truth truth{};
    {
        const Partition partition(permille);
        truth = truth_of(load);
    }
    require_nothing_lost(setting, agent, {truth});
}

TEST_CASE("fault 33: 10 kB/s to the broker", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(setting.agent(brokers(), eager));
    REQUIRE(is_tracing(agent));
    Truth truth{};
    {
        const SlowLink link("80kbit");
        truth = tests::truth_of(run(generator(4000)));
        pause(2000);
    }
    require_nothing_lost(setting, agent, {truth});
}

TEST_CASE("fault 33: the broker is gone, and its connections do not know", "[.long][root]") {
    Broker& broker = Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(setting.agent(brokers(), with(eager, {"kafka.properties.socket.timeout.ms=2000"})));
    REQUIRE(is_tracing(agent));
    Process load(generator(5000, 1000));
    require_delivered(setting, 500);
    {
        // Neither FIN nor RST comes out: what it had open is half-open when it is back.
        const Partition partition;
        broker.kill();
        broker.start();
    }
    require_nothing_lost(setting, agent, {truth_of(load)});
}

TEST_CASE("fault 33: half a second to the broker, half a second back", "[.long][root]") {
    const LongWay way(Broker::shared(), std::chrono::milliseconds(500));
    const Setting setting;
    setting.create_topics();
    Process agent(setting.agent(LongWay::address, eager));
    REQUIRE(is_tracing(agent));
    const Truth truth = tests::truth_of(run(generator(4000, 2000)));
    require_nothing_lost(setting, agent, {truth});
}

TEST_CASE("fault 34: the right to write is taken away while it writes", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(setting.agent(brokers(), eager));
    REQUIRE(is_tracing(agent));
    Process load(generator(4000, 1000));
    require_delivered(setting, 500);
    {
        AccessRule rule(brokers(), setting.topic(), Access::describe);
        const std::string expected = "do not allow to write to topic " + setting.topic();
        REQUIRE(eventually(seconds(30), [&] { return agent.errors().find(expected) != std::string::npos; }));
    }
    require_nothing_lost(setting, agent, {truth_of(load)});
}

TEST_CASE("fault 35: partitions are added while it writes", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(
        setting.agent(brokers(), with(eager, {"kafka.properties.topic.metadata.refresh.interval.ms=1000"})));
    REQUIRE(is_tracing(agent));
    Process load(generator(4000, 1000));
    require_delivered(setting, 500);
    add_partitions(brokers(), setting.topic(), 12);
    require_nothing_lost(setting, agent, {truth_of(load)});
}

TEST_CASE("fault 35: the topic is deleted and made again", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(setting.agent(brokers(), eager));
    REQUIRE(is_tracing(agent));
    const Truth before = tests::truth_of(run(generator(500)));
    require_delivered(setting, 2 * before.connections);
    delete_topic(brokers(), setting.topic());
    const Truth after = tests::truth_of(run(generator(1000)));
    setting.create_topics();
    require_delivered(setting, 2 * after.connections);
    require_stops(agent);

    // What the deleted one had acknowledged went with it. All that came after is there, both ends, once.
    const Finished consumed = setting.consume();
    const Account account = account_of(consumed.output, after);
    CHECK(account.roles.at("ROLE_CLIENT") == after.connections);
    CHECK(account.roles.at("ROLE_SERVER") == after.connections);
    CHECK(account.ids.size() == 2 * after.connections);
    for (const auto& report : setting.reports())
        check_stages(report);
}

TEST_CASE("fault 36: the broker takes only small messages from now on", "[faults][root]") {
    const Broker& broker = Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(setting.agent(brokers(), eager));
    REQUIRE(is_tracing(agent));
    Process load(generator(4000, 1000));
    require_delivered(setting, 500);
    // A batch of one event fits, one of several does not.
    broker.tool("kafka.admin.ConfigCommand", {"--alter", "--entity-type", "topics", "--entity-name",
                                              setting.topic(), "--add-config", "max.message.bytes=1000"});
    require_nothing_lost(setting, agent, {truth_of(load)});
}

TEST_CASE("fault 39: the client's queue is full", "[faults][root]") {
    Broker& broker = Broker::shared();
    const Setting setting;
    setting.create_topics();
    Process agent(
        setting.agent(brokers(), with(eager, {"kafka.properties.queue.buffering.max.messages=50"})));
    REQUIRE(is_tracing(agent));
    broker.freeze();
    const Truth truth = tests::truth_of(run(generator(2000)));
    broker.thaw();
    require_nothing_lost(setting, agent, {truth});
}

TEST_CASE("fault 40: the broker throttles", "[faults][root]") {
    const Broker& broker = Broker::shared();
    const Setting setting;
    setting.create_topics();
    const std::vector<std::string> clients{"--alter", "--entity-type", "clients", "--entity-default"};
    broker.tool("kafka.admin.ConfigCommand", with(clients, {"--add-config", "producer_byte_rate=100000"}));
    Process agent(setting.agent(brokers(), eager));
    REQUIRE(is_tracing(agent));
    const Truth truth = tests::truth_of(run(generator(1000)));
    require_delivered(setting, 2 * truth.connections);
    broker.tool("kafka.admin.ConfigCommand", with(clients, {"--delete-config", "producer_byte_rate"}));
    require_nothing_lost(setting, agent, {truth});
}

TEST_CASE("fault 41: the broker's name is not known at first", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    const std::string hosts = setting.folder() / "hosts";
    std::ofstream(hosts) << "127.0.0.1 localhost\n";
    // In a mount namespace of its own, /etc/hosts is this file.
    std::vector<std::string> command{"/usr/bin/unshare",
                                     "--mount",
                                     "sh",
                                     "-c",
                                     "mount --bind " + hosts + " /etc/hosts && exec \"$@\"",
                                     "sh"};
    const auto agent_command = setting.agent("broker.test:9092", eager);
    command.insert(command.end(), agent_command.begin(), agent_command.end());
    Process agent(command);
    REQUIRE(is_tracing(agent));
    const Truth truth = tests::truth_of(run(generator(1000)));
    CHECK(eventually(seconds(30), [&] { return agent.errors().find("broker.test") != std::string::npos; }));
    std::ofstream(hosts) << "127.0.0.1 localhost broker.test\n";
    require_nothing_lost(setting, agent, {truth});
}

TEST_CASE("fault 42: it is told to end while the broker does not answer", "[.long][root]") {
    Broker& broker = Broker::shared();
    const int signal = GENERATE(SIGTERM, SIGKILL);
    const Setting setting;
    setting.create_topics();
    Truth truth{};
    {
        Process agent(setting.agent(brokers(), eager));
        REQUIRE(is_tracing(agent));
        broker.freeze();
        truth = tests::truth_of(run(generator(1000)));
        // Drained into the spool: what is in the ring ends with a process that is killed.
        pause(1000);
        agent.signal(SIGTERM);
        if (signal == SIGKILL) {
            pause(500);  // its flush is under way
            agent.signal(SIGKILL);
            REQUIRE(agent.wait(seconds(10)) == 128 + SIGKILL);
        } else {
            REQUIRE(agent.wait(seconds(30)) == 0);
        }
    }
    broker.thaw();
    Process agent(setting.agent(brokers(), eager));
    require_nothing_lost(setting, agent, {truth});
}

TEST_CASE("fault 43: what was sent and not yet released comes again, and is known for it", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    std::vector<Truth> truths;
    {
        Process agent(setting.agent(brokers(), eager));
        REQUIRE(is_tracing(agent));
        truths.push_back(tests::truth_of(run(generator(10))));
        require_delivered(setting, 2 * truths[0].connections);
        // What it sends from now on arrives; that it did, is not heard: bare acknowledgements of TCP pass.
        system_command({"nft",
                        "add table inet deaf; add chain inet deaf in { type filter hook input priority 0; };"
                        "add rule inet deaf in tcp sport 9092 meta length > 60 drop"});
        truths.push_back(tests::truth_of(run(generator(1000))));
        pause(1500);
        agent.signal(SIGKILL);
        REQUIRE(agent.wait(seconds(10)) == 128 + SIGKILL);
        system_command({"nft", "delete table inet deaf"});
    }
    Process agent(setting.agent(brokers(), eager));
    require_nothing_lost(setting, agent, truths);
}
