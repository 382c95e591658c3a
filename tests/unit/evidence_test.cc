// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/evidence.h"

#include "tests/unit/mock_kafka.h"

using namespace tests;
using namespace tcptrail;
using namespace tcptrail::commands;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr uint64_t second = 1'000'000'000;
constexpr const char* agents_topic = "tcptrail.agents";

v1::AgentReport report(const char* run_id, uint64_t sequence, uint64_t last) {
    v1::AgentReport report;
    report.set_run_id(run_id);
    report.set_sequence(sequence);
    report.set_starts(1);
    report.set_emitted_unix_nanos((1000 + sequence) * second);
    report.set_uptime_us(sequence * 1'000'000);
    report.set_connections_last_sequence(last);
    return report;
}

// One record of `topic`, with the time that Kafka keeps beside it.
void produce(const MockCluster& cluster, const char* topic, int32_t partition, int64_t unix_millis,
             const std::string& value) {
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", cluster.brokers().c_str(), nullptr, 0);
    rd_kafka_t* client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, nullptr, 0);
    REQUIRE(client != nullptr);
    const auto error =
        rd_kafka_producev(client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
                          RD_KAFKA_V_TIMESTAMP(unix_millis), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                          RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()), RD_KAFKA_V_END);
    CHECK(error == RD_KAFKA_RESP_ERR_NO_ERROR);
    CHECK(rd_kafka_flush(client, 10'000) == RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_destroy(client);
}

}  // namespace

TEST_CASE("the latest report of a run counts, and when its first agent began") {
    RunAccounts accounts;
    v1::AgentReport last = report("run-a", 3, 120);
    last.set_reason(v1::REPORT_REASON_STOP);
    last.set_spool_events(1);
    for (const auto& [reason, count] : {std::pair("evicted", 7), std::pair("damaged", 0)}) {
        if (last.stages_size() == 0) last.add_stages()->set_name("spool");
        v1::Loss& loss = *last.mutable_stages(0)->add_lost();
        loss.set_reason(reason);
        loss.set_count(static_cast<uint64_t>(count));
    }
    accounts.add(last);
    accounts.add(report("run-a", 2, 100));  // delivered again
    v1::AgentReport later = report("run-b", 9, 5);
    later.set_starts(2);  // the second agent of its run: when the first one began is not known
    accounts.add(later);

    const RunAccount& a = accounts.runs().at("run-a");
    CHECK(a.last_sequence == 120);
    CHECK(a.stopped);
    CHECK(a.began_unix_nanos == 1000 * second);
    CHECK_FALSE(accounts.runs().at("run-b").began_unix_nanos);
    CHECK(
        explanation(a, 1015 * second) ==
        "its agent's last report, 12.0s ago, as it stopped: 1 event not acknowledged yet; lost so far: spool "
        "evicted 7");
    CHECK(explanation(accounts.runs().at("run-b"), 0) ==
          "its agent's last report, 0us ago: 0 events not acknowledged yet; lost so far: nothing");
}

TEST_CASE("the agents' reports are read from their topic, and what is none is passed over") {
    const MockCluster cluster;
    const std::atomic<bool> stop = false;
    auto none = read_accounts(cluster.options(), agents_topic, stop);
    REQUIRE(none);
    CHECK(none->runs().empty());
    produce(cluster, agents_topic, 0, 1, report("run-a", 1, 10).SerializeAsString());
    produce(cluster, agents_topic, 0, 1, "\xff\xff no report");
    produce(cluster, agents_topic, 0, 1, report("run-a", 2, 20).SerializeAsString());
    const auto accounts = read_accounts(cluster.options(), agents_topic, stop);
    REQUIRE(accounts);
    REQUIRE(accounts->runs().size() == 1);
    CHECK(accounts->runs().at("run-a").last_sequence == 20);

    rd_kafka_mock_topic_set_error(cluster.get(), "absent", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    const auto missing = read_accounts(cluster.options(), "absent", stop);
    REQUIRE_FALSE(missing);
    CHECK_THAT(missing.error().message, ContainsSubstring("topic absent does not exist"));
}

TEST_CASE("all is there since some minutes after the oldest record of what was cut") {
    const MockCluster cluster;
    const std::atomic<bool> stop = false;
    const auto ask = [&](std::vector<Consumer::Partition> partitions) {
        auto since = complete_since(cluster.options(), connections_topic, partitions, stop);
        REQUIRE(since);
        return *since;
    };
    const auto now = static_cast<uint64_t>(time(nullptr));
    for (const int32_t partition : {0, 1}) {
        for (const int64_t seconds : {100, 90, 500})  // those of two agents need not be in order
            produce(cluster, connections_topic, partition, (1'000'000 + 100 * partition + seconds) * 1000,
                    "x");
    }
    CHECK_FALSE(ask({{0, 0, 3}, {1, 0, 3}}));
    CHECK(ask({{0, 7, 10}, {1, 0, 3}}) == (1'000'100 + 600) * second);
    CHECK(ask({{0, 7, 10}, {1, 7, 10}}) == (1'000'200 + 600) * second);
    // Of an empty partition nothing is known but that it is empty now.
    CHECK(ask({{0, 7, 10}, {1, 7, 7}}).value_or(0) >= now * second);
    // Kafka keeps no times, or the future.
    produce(cluster, connections_topic, 2, static_cast<int64_t>(now + 5000) * 1000, "x");
    const uint64_t later = ask({{2, 7, 8}}).value_or(0);
    CHECK(later >= now * second);
    CHECK(later < (now + 1000) * second);
}
