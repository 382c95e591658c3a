// SPDX-License-Identifier: Apache-2.0
//
// The consumer, the ping and the topics, against the mock cluster.
#include "agent/transmit/ping.h"
#include "agent/transmit/topics.h"
#include "tests/unit/mock_kafka.h"

using namespace tests;
using namespace tcptrail;
using namespace tcptrail::transmit;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("a consumer ends at the watermark, at a stop, or when it is told enough") {
    MockCluster cluster;
    const auto options = cluster.options();
    Pipeline pipeline(options);
    pipeline.append(0, 100);
    REQUIRE(pipeline.delivered());
    std::atomic<bool> stop = false;

    SECTION("to the end: not what comes later") {
        auto consumer =
            Consumer::open(options, {.topic = connections_topic, .from_beginning = true, .to_end = true});
        REQUIRE(consumer);
        int64_t total = 0;
        for (const auto& partition : (*consumer)->partitions()) {
            CHECK(partition.low == 0);
            total += partition.high;
        }
        CHECK((*consumer)->partitions().size() == 4);
        CHECK(total == 100);
        pipeline.append(100, 100);
        REQUIRE(pipeline.delivered());
        int count = 0;
        REQUIRE((*consumer)->run([&count](const Record&) { return ++count > 0; }, stop));
        CHECK(count == 100);
    }
    SECTION("enough") {
        auto consumer =
            Consumer::open(options, {.topic = connections_topic, .from_beginning = true, .to_end = false});
        REQUIRE(consumer);
        int count = 0;
        REQUIRE((*consumer)->run([&count](const Record&) { return ++count < 10; }, stop));
        CHECK(count == 10);
    }
    SECTION("from now on, until it is stopped") {
        auto consumer =
            Consumer::open(options, {.topic = connections_topic, .from_beginning = false, .to_end = false});
        REQUIRE(consumer);
        pipeline.append(100, 20);
        REQUIRE(pipeline.delivered());
        std::thread stopper([&stop] {
            std::this_thread::sleep_for(800ms);
            stop = true;
        });
        int count = 0;
        const auto done = (*consumer)->run([&count](const Record&) { return ++count > 0; }, stop);
        stopper.join();
        REQUIRE(done);
        CHECK(count == 20);
    }
    SECTION("from now to now is nothing") {
        auto consumer =
            Consumer::open(options, {.topic = connections_topic, .from_beginning = false, .to_end = true});
        REQUIRE(consumer);
        REQUIRE((*consumer)->run([](const Record&) { return false; }, stop));
    }
}

TEST_CASE("a consumer whose next record is gone says so, and does not go on at the end") {
    MockCluster cluster;
    const auto options = cluster.options();
    Pipeline pipeline(options);
    pipeline.append(0, 100);
    REQUIRE(pipeline.delivered());
    const std::atomic<bool> stop = false;
    auto consumer = Consumer::open(
        options,
        {.topic = connections_topic, .from_beginning = true, .to_end = false, .from = {{2, 1'000'000}}});
    REQUIRE(consumer);
    const auto until = std::chrono::steady_clock::now() + 10s;
    const auto ran = (*consumer)->run([](const Record&) { return true; }, stop, until);
    REQUIRE_FALSE(ran);
    CHECK_THAT(ran.error().message,
               ContainsSubstring("topic tcptrail.connections, partition 2: what was to be "
                                 "read next has been removed: "));
}

TEST_CASE("a consumer goes on where it was, from given offsets, until a time") {
    MockCluster cluster;
    const auto options = cluster.options();
    Pipeline pipeline(options);
    pipeline.append(0, 100);
    REQUIRE(pipeline.delivered());
    const std::atomic<bool> stop = false;
    Consumer::Settings settings{.topic = connections_topic, .from_beginning = true, .to_end = true};
    auto first = Consumer::open(options, settings);
    REQUIRE(first);
    int count = 0;
    const auto few = (*first)->run([&count](const Record&) { return ++count < 10; }, stop);
    REQUIRE(few);
    CHECK(*few == Consumer::Ending::taker);
    const auto rest = (*first)->run([&count](const Record&) { return ++count > 0; }, stop);
    REQUIRE(rest);
    CHECK(*rest == Consumer::Ending::reached_end);
    CHECK(count == 100);

    Consumer::Settings beyond{.topic = connections_topic};
    for (const auto& partition : (*first)->partitions())
        beyond.from[partition.id] = partition.high;
    pipeline.append(100, 20);
    REQUIRE(pipeline.delivered());
    auto second = Consumer::open(options, beyond);
    REQUIRE(second);
    count = 0;
    const auto late = (*second)->run([&count](const Record&) { return ++count > 0; }, stop,
                                     std::chrono::steady_clock::now() + 2s);
    REQUIRE(late);
    CHECK(*late == Consumer::Ending::time);
    CHECK(count == 20);
}

TEST_CASE("a consumer tells that its topic is missing") {
    MockCluster cluster;
    rd_kafka_mock_topic_set_error(cluster.get(), "absent", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    auto consumer =
        Consumer::open(cluster.options(), {.topic = "absent", .from_beginning = true, .to_end = true});
    REQUIRE_FALSE(consumer);
    CHECK_THAT(consumer.error().message, ContainsSubstring("topic absent does not exist on the brokers"));
}

TEST_CASE("a ping says which brokers answer") {
    MockCluster cluster(3);
    auto report = ping(cluster.options());
    REQUIRE(report);
    CHECK_THAT(report->cluster_id, ContainsSubstring("mockCluster"));
    REQUIRE(report->brokers.size() == 3);
    for (const BrokerAnswer& broker : report->brokers) {
        CHECK_THAT(broker.address, ContainsSubstring("127.0.0.1:"));
        CHECK(broker.problem.empty());
    }

    rd_kafka_mock_broker_set_down(cluster.get(), 2);
    report = ping(cluster.options(), 1500ms);
    REQUIRE(report);
    CHECK(report->brokers[0].problem.empty());
    CHECK_FALSE(report->brokers[1].problem.empty());
    CHECK(report->brokers[2].problem.empty());
}

TEST_CASE("a ping without an answer says why, in time") {
    Options options;
    options.brokers = "127.0.0.1:1";
    const auto begin = std::chrono::steady_clock::now();
    auto report = ping(options, 1000ms);
    REQUIRE_FALSE(report);
    CHECK(std::chrono::steady_clock::now() - begin < 2500ms);
    CHECK_THAT(report.error().message, ContainsSubstring("no answer from the brokers: ") &&
                                           ContainsSubstring("127.0.0.1:1") &&
                                           ContainsSubstring("Connection refused"));
    CHECK_THAT(check_topics(options, 1000ms).error().message, ContainsSubstring("Connection refused"));
    CHECK_THAT(create_topics(options, 1, 1000ms).error().message, ContainsSubstring("Connection refused"));
}

TEST_CASE("the wanted topics go by the configured names") {
    Options options;
    options.topics = {"a", "b"};
    const auto topics = wanted_topics(options);
    REQUIRE(topics.size() == 2);
    CHECK(topics[0].name == "a");
    CHECK(topics[0].partitions == 6);
    CHECK(topics[0].settings.at("retention.ms") == "604800000");
    CHECK(topics[1].name == "b");
    CHECK(topics[1].partitions == 1);
    CHECK(topics[1].settings.at("retention.ms") == "2592000000");
    CHECK(topics[1].settings.at("cleanup.policy") == "delete");
}
