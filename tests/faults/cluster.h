// SPDX-License-Identifier: Apache-2.0
//
// A real Apache Kafka of three nodes (KRaft) that a test may do anything to.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/faults/broker.h"
#include "tests/kafka/setting.h"

namespace tests {

// Members REQUIRE that what they do succeeds. Topics have three replicas, two of which must be in sync.
class Cluster {
public:
    static constexpr int32_t nodes = 3;

    // Started with empty storage, stopped with this object. Its files are in $BUILD/faults/node-1 to node-3.
    // `voters`: the first so many nodes are controllers too. With all three, two that are away leave no
    // quorum; with one, the first goes on alone and takes the others out of the ISR.
    explicit Cluster(int32_t voters = nodes);
    ~Cluster();
    Cluster(const Cluster&) = delete;
    Cluster& operator=(const Cluster&) = delete;

    // Bootstrap servers: all of them.
    std::string brokers() const;

    Broker& node(int32_t id) { return *nodes_.at(static_cast<size_t>(id - 1)); }

    // The topics of a test, each partition led by the first node.
    void create_topics(const Setting& setting) const;

    // Waits until every partition of the test's topics has a leader that is none of `away`, and just the
    // other nodes in sync.
    void wait_in_sync(const Setting& setting, const std::vector<int32_t>& away = {}) const;

private:
    // What the script does with each of them, at the same time: one alone is no quorum to wait for.
    bool all(const std::string& verb) const;

    std::vector<std::unique_ptr<Broker>> nodes_;
};

}  // namespace tests
