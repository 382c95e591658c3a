// SPDX-License-Identifier: Apache-2.0
//
// What can happen to a Kafka of three nodes: faults 31 and 40 of the project's list, `make soak`.
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/cluster.h"

using namespace tests;

namespace {

void pause(seconds length) {
    std::this_thread::sleep_for(length);
}

// One generator after the other, until it is told to end: how long a cluster takes to do something is not
// known beforehand.
class Load {
public:
    Load()
        : thread_([this](const std::stop_token& stop) {
              while (!stop.stop_requested())
                  finished_.push_back(run(generator(1000, 500)));
          }) {}
    Load(const Load&) = delete;
    Load& operator=(const Load&) = delete;

    std::vector<Truth> end() {
        thread_.request_stop();
        thread_.join();
        std::vector<Truth> truths;
        for (const Finished& generated : finished_)
            truths.push_back(truth_of(generated));
        return truths;
    }

private:
    std::vector<Finished> finished_;
    std::jthread thread_;
};

// A cluster, an agent that writes to it, and a load.
class UnderLoad {
public:
    explicit UnderLoad(int32_t voters = Cluster::nodes, std::vector<std::string> settings = {})
        : cluster_(voters), setting_(cluster_.brokers()), agent_(agent_of(std::move(settings))) {
        REQUIRE(is_tracing(agent_));
        load_ = std::make_unique<Load>();
        require_delivered(setting_, 500);
    }

    Cluster& cluster() { return cluster_; }
    Process& agent() { return agent_; }
    const Setting& setting() const { return setting_; }

    // So many more events have come through than now.
    void require_goes_on(uint64_t events) const {
        require_delivered(setting_, setting_.delivered() + events);
    }

    void wait_in_sync(const std::vector<int32_t>& away = {}) const { cluster_.wait_in_sync(setting_, away); }

    // Ends the load and the agent. REQUIREs that nothing is lost.
    void finish() {
        const std::vector<Truth> truths = load_->end();
        uint64_t ends = 0;
        for (const Truth& truth : truths)
            ends += 2 * truth.connections;
        require_delivered(setting_, ends, seconds(300));
        require_stops(agent_);
        const Outcome outcome = require_audit(setting_, truths);
        CHECK(outcome.lost == 0);
    }

private:
    std::vector<std::string> agent_of(std::vector<std::string> settings) const {
        cluster_.create_topics(setting_);
        // Shorter pauses than librdkafka's, so that the test need not wait for them.
        settings.emplace_back("kafka.properties.reconnect.backoff.max.ms=500");
        settings.emplace_back("report.interval_secs=1");
        return setting_.agent(cluster_.brokers(), settings);
    }

    Cluster cluster_;
    Setting setting_;
    Process agent_;
    std::unique_ptr<Load> load_;
};

// Two of three nodes do not answer; the first, which leads all partitions, goes on.
class TwoAway {
public:
    TwoAway(Cluster& cluster, bool frozen) : cluster_(cluster), frozen_(frozen) {
        for (const int32_t id : ids())
            frozen_ ? cluster_.node(id).freeze() : cluster_.node(id).kill();
    }

    void back() {
        for (const int32_t id : ids())
            frozen_ ? cluster_.node(id).thaw() : cluster_.node(id).start();
    }

    static std::vector<int32_t> ids() { return {2, 3}; }

private:
    Cluster& cluster_;
    bool frozen_;
};

}  // namespace

TEST_CASE("fault 31: the leader of all partitions is killed and another takes over", "[.soak][root]") {
    UnderLoad run;
    run.cluster().node(1).kill();
    run.wait_in_sync({1});
    run.require_goes_on(5000);
    run.cluster().node(1).start();
    run.wait_in_sync();
    run.finish();
}

TEST_CASE("fault 31: three nodes are started anew, one after the other", "[.soak][root]") {
    UnderLoad run;
    for (int32_t id = 1; id <= Cluster::nodes; ++id) {
        run.cluster().node(id).stop();
        run.wait_in_sync({id});
        run.cluster().node(id).start();
        run.wait_in_sync();
    }
    run.finish();
}

TEST_CASE("fault 31: two of three nodes are away, and with them the quorum", "[.soak][root]") {
    const bool frozen = GENERATE(true, false);
    // Shorter than they are away, so that requests time out.
    UnderLoad run(Cluster::nodes, {"kafka.properties.request.timeout.ms=3000"});
    TwoAway two(run.cluster(), frozen);
    pause(seconds(20));
    two.back();
    run.wait_in_sync();
    run.finish();
}

TEST_CASE("fault 40: fewer replicas are in sync than there must be", "[.soak][root]") {
    const bool frozen = GENERATE(true, false);
    // Its client tells the brokers' answers, which it otherwise only acts upon.
    UnderLoad run(1, {"kafka.properties.debug=msg"});
    TwoAway two(run.cluster(), frozen);
    REQUIRE(eventually(seconds(60), [&] {
        return run.agent().errors().find("Not enough in-sync replicas") != std::string::npos;
    }));
    // The agent says what is the matter.
    CHECK(eventually(seconds(30), [&] {
        return run.agent().errors().find("has 1 of 3 replicas in sync") != std::string::npos;
    }));
    two.back();
    run.wait_in_sync();
    run.finish();
}
