// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/cluster.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include "tests/catch.h"
#include "tests/kafka/topic.h"

namespace tests {

namespace {

// Three at once, on two processors that have other work too.
constexpr seconds start_limit(270);

uint16_t port_of(int32_t id) {
    return static_cast<uint16_t>(9300 + 10 * id);
}

std::string address(int32_t id, uint16_t further = 0) {
    return "127.0.0.1:" + std::to_string(port_of(id) + further);
}

std::string properties(int32_t id, int32_t voters) {
    std::string quorum, servers;
    for (int32_t voter = 1; voter <= voters; ++voter) {
        const std::string comma = voter > 1 ? "," : "";
        quorum += comma + std::to_string(voter) + "@" + address(voter, 1);
        servers += comma + address(voter, 1);
    }
    std::string lines = "node.id=" + std::to_string(id) + "\ncontroller.quorum.voters=" + quorum +
                        "\ncontroller.quorum.bootstrap.servers=" + servers +
                        "\ndefault.replication.factor=3\nmin.insync.replicas=2\n"
                        // Who leads is for the test to say.
                        "auto.leader.rebalance.enable=false\n"
                        // Rules come with the metadata: whoever asks for them to vote would not be heard.
                        "authorizer.class.name=\n";
    if (id > voters)
        lines += "process.roles=broker\nlisteners=PLAINTEXT://" + address(id) +
                 "\nadvertised.listeners=PLAINTEXT://" + address(id) + "\n";
    return lines;
}

bool in_sync(const std::string& brokers, const std::string& topic, const std::set<int32_t>& expected) {
    try {
        return std::ranges::all_of(replicas_of(brokers, topic), [&](const Replicas& replicas) {
            return expected.contains(replicas.leader) && replicas.in_sync == expected;
        });
    } catch (const std::runtime_error&) {
        return false;  // not now
    }
}

}  // namespace

Cluster::Cluster(int32_t voters) {
    for (int32_t id = 1; id <= nodes; ++id) {
        nodes_.push_back(std::make_unique<Broker>("node-" + std::to_string(id), port_of(id)));
        nodes_.back()->configure(properties(id, voters));
    }
    REQUIRE(all("up"));
}

Cluster::~Cluster() {
    (void)all("down");
}

std::string Cluster::brokers() const {
    std::string servers;
    for (int32_t id = 1; id <= nodes; ++id)
        servers += (id > 1 ? "," : "") + address(id);
    return servers;
}

void Cluster::create_topics(const Setting& setting) const {
    create_topic(brokers(), setting.topic(), 6, {1, 2, 3});
    create_topic(brokers(), setting.name() + ".agents", 1, {1, 2, 3});
    wait_in_sync(setting);
}

void Cluster::wait_in_sync(const Setting& setting, const std::vector<int32_t>& away) const {
    std::set<int32_t> expected;
    for (int32_t id = 1; id <= nodes; ++id)
        if (std::ranges::find(away, id) == away.end()) expected.insert(id);
    for (const std::string& topic : {setting.topic(), setting.name() + ".agents"}) {
        INFO("topic " << topic);
        REQUIRE(eventually(seconds(120), [&] { return in_sync(brokers(), topic, expected); }));
    }
}

bool Cluster::all(const std::string& verb) const {
    std::vector<std::unique_ptr<Process>> scripts;
    for (const auto& node : nodes_) {
        std::vector<std::string> command{"/usr/bin/env",
                                         "KAFKA_START_SECS=" + std::to_string(start_limit.count())};
        const std::vector<std::string> script = node->script(verb);
        command.insert(command.end(), script.begin(), script.end());
        scripts.push_back(std::make_unique<Process>(command));
    }
    bool good = true;
    for (const auto& script : scripts) {
        const bool done = script->wait(start_limit + seconds(30)) == 0;
        if (!done) UNSCOPED_INFO(script->output() << script->errors());
        good &= done;
    }
    return good;
}

}  // namespace tests
