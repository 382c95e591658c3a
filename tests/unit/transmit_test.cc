// SPDX-License-Identifier: Apache-2.0
//
// The way from the spool to the brokers, against the mock cluster.
#include <fstream>

#include "agent/spool/inspect.h"
#include "tests/unit/mock_kafka.h"

using namespace tests;
using namespace tcptrail;
using namespace tcptrail::transmit;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("what is appended arrives, in order per key, with headers") {
    MockCluster cluster(3);
    const auto options = cluster.options();
    Pipeline pipeline(options);
    for (int i = 0; i < 20; i++)
        pipeline.append(i * 100, 100);
    pipeline.append(5000, 1, 50, Topic::agents);
    REQUIRE(pipeline.delivered());
    const auto status = pipeline.transmitter->status();
    CHECK(status.taken == 2001);
    CHECK(status.acknowledged == 2001);
    CHECK(status.held == 0);
    CHECK(status.queued == 0);
    CHECK(status.failed == 0);
    CHECK(status.clients == 1);
    CHECK(status.connected);
    CHECK(status.problem.empty());

    const auto records = read_all(options);
    CHECK(records.size() == 4);
    const auto result = tally(records);
    CHECK(result.distinct.size() == 2000);
    CHECK(result.duplicates == 0);
    CHECK(result.out_of_order == 0);
    std::map<std::string, std::set<int32_t>> partitions_of_key;
    for (const auto& [partition, list] : records)
        for (const Read& read : list) {
            partitions_of_key[read.key].insert(partition);
            CHECK(read.headers ==
                  std::map<std::string, std::string>{
                      {"content-type", "application/x-protobuf; message=tcptrail.v1.ConnectionEvent"},
                      {"schema-version", "1"}});
        }
    for (const auto& [key, partitions] : partitions_of_key)
        CHECK(partitions.size() == 1);

    const auto agents = read_all(options, "tcptrail.agents");
    REQUIRE(agents.at(0).size() == 1);
    CHECK(agents.at(0)[0].headers.at("content-type") ==
          "application/x-protobuf; message=tcptrail.v1.AgentReport");
}

TEST_CASE("with confluent framing the value is the same once the frame is off") {
    MockCluster cluster;
    auto options = cluster.options();
    options.framing = Framing::confluent;
    options.schema_ids = {7, 8};
    Pipeline pipeline(options);
    pipeline.append(0, 100, 2000);
    REQUIRE(pipeline.delivered());
    const auto records = read_all(options);
    CHECK(tally(records).distinct.size() == 100);
    for (const auto& [partition, list] : records)
        for (const Read& read : list)
            CHECK(read.value.size() == 2000);
}

TEST_CASE("brokers that are down at the start are waited for") {
    MockCluster cluster;
    rd_kafka_mock_broker_set_down(cluster.get(), 1);
    const auto options = cluster.options();
    Pipeline pipeline(options);
    pipeline.append(0, 500);
    CHECK(pipeline.until([&] { return !pipeline.transmitter->status().last_error.empty(); }));
    auto status = pipeline.transmitter->status();
    CHECK_FALSE(status.connected);
    CHECK(status.last_error_unix_nanos > 1'600'000'000'000'000'000u);
    CHECK(pipeline.spool->stats().held == 500);

    rd_kafka_mock_broker_set_up(cluster.get(), 1);
    REQUIRE(pipeline.delivered());
    status = pipeline.transmitter->status();
    CHECK(status.connected);
    CHECK(status.problem.empty());
    CHECK_FALSE(status.last_error.empty());
    CHECK(tally(read_all(options)).duplicates == 0);
}

TEST_CASE("a broker that goes and comes back costs nothing") {
    MockCluster cluster;
    const auto options = cluster.options();
    Pipeline pipeline(options);
    int number = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++, number += 50) {
            pipeline.append(number, 50);
            std::this_thread::sleep_for(5ms);
            if (i == 10) rd_kafka_mock_broker_set_down(cluster.get(), 1);
        }
        rd_kafka_mock_broker_set_up(cluster.get(), 1);
    }
    REQUIRE(pipeline.delivered(30s));
    const auto result = tally(read_all(options));
    CHECK(result.distinct.size() == static_cast<size_t>(number));
    CHECK(result.out_of_order == 0);
}

TEST_CASE("a message that is refused is sent again, after a pause") {
    MockCluster cluster;
    const auto options = cluster.options();
    // One that librdkafka does not retry by itself, one that it does.
    const auto error = GENERATE(RD_KAFKA_RESP_ERR_UNKNOWN, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
                                RD_KAFKA_RESP_ERR_INVALID_MSG);
    INFO(rd_kafka_err2name(error));
    cluster.fail_produce(error, 3);
    Pipeline pipeline(options);
    for (int i = 0; i < 10; i++)
        pipeline.append(i * 50, 50);
    REQUIRE(pipeline.delivered());
    const auto status = pipeline.transmitter->status();
    CHECK(status.acknowledged == 500);
    CHECK(status.problem.empty());
    const auto result = tally(read_all(options));
    CHECK(result.distinct.size() == 500);
}

TEST_CASE("what only the next batch's success says to be stored is sent again") {
    MockCluster cluster;
    auto options = cluster.options();
    // Several requests of several messages each are on their way before the first is answered.
    options.properties["batch.num.messages"] = "3";
    rd_kafka_mock_broker_set_rtt(cluster.get(), 1, 200);
    cluster.fail_produce(RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 1);
    Pipeline pipeline(options);
    pipeline.append(0, 12, 50, Topic::agents);
    REQUIRE(pipeline.delivered());
    CHECK(tally(read_all(options, "tcptrail.agents")).distinct.size() == 12);
}

TEST_CASE("a missing topic is named, and delivery resumes when it exists") {
    MockCluster cluster;
    rd_kafka_mock_topic_set_error(cluster.get(), connections_topic, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    const auto options = cluster.options();
    Pipeline pipeline(options);
    pipeline.append(0, 100);
    CHECK(pipeline.until([&] { return pipeline.transmitter->status().failed > 0; }));
    CHECK(pipeline.transmitter->status().problem ==
          "topic tcptrail.connections does not exist on the brokers; make it with: tcptrail topics create "
          "--brokers " +
              options.brokers);
    std::this_thread::sleep_for(1500ms);
    CHECK(pipeline.spool->stats().held == 100);
    CHECK(pipeline.transmitter->status().failed < 500);

    rd_kafka_mock_topic_set_error(cluster.get(), connections_topic, RD_KAFKA_RESP_ERR_NO_ERROR);
    REQUIRE(pipeline.delivered(20s));
    CHECK(pipeline.transmitter->status().problem.empty());
    CHECK(tally(read_all(options)).distinct.size() == 100);
}

TEST_CASE("a message that librdkafka does not even take is kept") {
    MockCluster cluster;
    const auto options = cluster.options();
    rd_kafka_mock_topic_set_error(cluster.get(), connections_topic, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    struct Silent : ProducerListener {
        void on_report(void*, rd_kafka_resp_err_t) override { reports++; }
        void on_error(rd_kafka_resp_err_t, const std::string&) override {}
        void on_replaced(const std::string&, bool) override {}
        int reports = 0;
    } listener;
    auto producer = Producer::create(options, 0, -1, listener);
    REQUIRE(producer);
    const spool::MessageView message{Topic::connections, "key", "value"};
    // Until it knows that the topic is missing.
    auto error = RD_KAFKA_RESP_ERR_NO_ERROR;
    int taken = 0;
    for (int i = 0; i < 300 && error == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        error = (*producer)->send(message, nullptr);
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR) taken++;
        std::this_thread::sleep_for(50ms);
    }
    CHECK(error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC);
    for (int i = 0; i < 100; i++)
        CHECK((*producer)->send(message, nullptr) == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC);
    (*producer)->poll();
    CHECK(listener.reports == taken);
}

TEST_CASE("what librdkafka waits for in silence is told") {
    // What a topic says that it may not see is tested with a real broker: the mock's answer has partitions,
    // which ends librdkafka 2.8 (librdkafka#4907) and which no broker sends.
    MockCluster cluster;
    const auto options = cluster.options();
    // Slower than anyone waits.
    rd_kafka_mock_broker_set_rtt(cluster.get(), 1, 20'000);
    Pipeline pipeline(options);
    pipeline.append(0, 100);
    CHECK(pipeline.until([&] { return !pipeline.transmitter->status().problem.empty(); }));
    CHECK_THAT(pipeline.transmitter->status().problem, ContainsSubstring("the brokers do not answer"));
    CHECK(pipeline.spool->stats().held == 100);

    rd_kafka_mock_broker_set_rtt(cluster.get(), 1, 0);
    REQUIRE(pipeline.delivered(60s));
    CHECK(pipeline.transmitter->status().problem.empty());
}

TEST_CASE("a batch that is too large is sent as smaller ones") {
    MockCluster cluster;
    cluster.fail_produce(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
    const auto options = cluster.options();
    Pipeline pipeline(options);
    pipeline.append(0, 500, 1000);
    REQUIRE(pipeline.delivered());
    const auto status = pipeline.transmitter->status();
    CHECK(status.too_large == 0);
    CHECK(status.acknowledged == 500);
    CHECK(status.clients == 2);
    CHECK(tally(read_all(options)).distinct.size() == 500);
}

TEST_CASE("a message that is too large alone is set aside and counted") {
    MockCluster cluster;
    Options options = cluster.options();
    SECTION("the brokers say so") {
        // 1,000,000 → 125,000 → 15,625: then it has a batch for itself.
        cluster.fail_produce(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 3);
    }
    SECTION("the client says so") {
        options.properties["message.max.bytes"] = "10000";
    }
    Pipeline pipeline(options);
    pipeline.append(0, 1, 50'000);
    REQUIRE(pipeline.delivered());
    pipeline.append(1, 10);
    REQUIRE(pipeline.delivered());
    const auto status = pipeline.transmitter->status();
    CHECK(status.too_large == 1);
    CHECK(status.acknowledged == 10);
    CHECK(status.taken == 11);
    const auto stats = pipeline.spool->stats();
    CHECK(stats.too_large == 1);
    CHECK(stats.released == 10);
    CHECK(stats.in == 11);
    // Kept for the administrator.
    auto inspector = spool::Inspector::open(pipeline.folder.path() + "/spool.db");
    REQUIRE(inspector);
    std::vector<size_t> sizes;
    REQUIRE(inspector->each_set_aside([&](const spool::MessageView& message) {
        sizes.push_back(message.value.size());
        return true;
    }));
    CHECK(sizes == std::vector<size_t>{50'000});
    CHECK_THAT(status.last_error,
               ContainsSubstring("a message of 50005 bytes") && ContainsSubstring("set aside"));
    CHECK(tally(read_all(options)).distinct.size() == 10);
}

TEST_CASE("a full queue of the client stops reading, and resumes") {
    MockCluster cluster;
    auto options = cluster.options();
    options.properties["queue.buffering.max.messages"] = "50";
    Pipeline pipeline(options);
    for (int i = 0; i < 5; i++)
        pipeline.append(i * 1000, 1000);
    REQUIRE(pipeline.delivered(30s));
    CHECK(pipeline.transmitter->status().failed == 0);
    const auto result = tally(read_all(options));
    CHECK(result.distinct.size() == 5000);
    CHECK(result.duplicates == 0);
    CHECK(result.out_of_order == 0);
}

TEST_CASE("after a fatal error a new client sends what is not acknowledged") {
    MockCluster cluster;
    const auto options = cluster.options();
    Pipeline pipeline(options);
    pipeline.append(0, 100);
    REQUIRE(pipeline.delivered());
    cluster.fail_produce(RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, 1);
    for (int i = 1; i < 20; i++)
        pipeline.append(i * 100, 100);
    REQUIRE(pipeline.delivered());
    const auto status = pipeline.transmitter->status();
    CHECK(status.clients >= 2);
    CHECK(status.acknowledged == 2000);
    CHECK_THAT(status.last_error, ContainsSubstring("a new one follows"));
    CHECK(tally(read_all(options)).distinct.size() == 2000);
}

TEST_CASE(
    "a file that is replaced while all is well: a new client, nothing twice; or the old one, where it does "
    "not do") {
    MockCluster cluster;
    TemporaryFolder files;
    const std::string file = files.path() + "/rack";
    std::ofstream(file) << "first";
    Options options = cluster.options();
    options.property_files["client.rack"] = file;
    // A second one, which is made wrong.
    const std::string linger = files.path() + "/linger";
    std::ofstream(linger) << "5";
    options.property_files["linger.ms"] = linger;
    Pipeline pipeline(options);
    pipeline.append(0, 500);
    REQUIRE(pipeline.delivered());
    const auto& transmitter = *pipeline.transmitter;

    std::ofstream(file) << "the second";
    int number = 500;
    const auto after = [&](uint64_t renewals) {
        return pipeline.until([&] {
            pipeline.append(number, 10);
            number += 10;
            std::this_thread::sleep_for(10ms);
            return transmitter.status().renewals == renewals;
        });
    };
    REQUIRE(after(1));
    CHECK(transmitter.status().renewal == file + " was replaced: the new one is in use");
    CHECK_FALSE(transmitter.status().renewal_failed);
    CHECK(transmitter.status().clients == 2);

    std::ofstream(linger) << "soon";
    REQUIRE(after(2));
    CHECK_THAT(transmitter.status().renewal,
               ContainsSubstring(linger + " was replaced, and what was there before stays in use") &&
                   ContainsSubstring("linger.ms"));
    CHECK(transmitter.status().renewal_failed);
    CHECK(transmitter.status().last_error == transmitter.status().renewal);
    CHECK(transmitter.status().problem.empty());
    CHECK(transmitter.status().clients == 2);

    std::ofstream(linger) << "10";
    REQUIRE(after(3));
    CHECK(transmitter.status().clients == 3);
    REQUIRE(pipeline.delivered());
    const Tally read = tally(read_all(cluster.options()));
    CHECK(read.distinct.size() == static_cast<size_t>(number));
    CHECK(read.duplicates == 0);
    CHECK(read.out_of_order == 0);
}

TEST_CASE("stopping delivers what it can, and leaves the rest in the spool") {
    MockCluster cluster;
    const auto options = cluster.options();
    Pipeline pipeline(options);
    SECTION("with brokers: everything") {
        pipeline.append(0, 2000);
        pipeline.settle();
        pipeline.transmitter->stop(5s);
        pipeline.settle();
        CHECK(pipeline.spool->stats().released == 2000);
        CHECK(tally(read_all(options)).distinct.size() == 2000);
    }
    SECTION("without: nothing is lost, and it ends in time") {
        rd_kafka_mock_broker_set_down(cluster.get(), 1);
        pipeline.append(0, 2000);
        std::this_thread::sleep_for(200ms);
        const auto begin = std::chrono::steady_clock::now();
        pipeline.transmitter->stop(500ms);
        CHECK(std::chrono::steady_clock::now() - begin < 2500ms);
        pipeline.settle();
        CHECK(pipeline.spool->stats().held == 2000);

        // The next run sends it.
        pipeline.transmitter.reset();
        pipeline.spool.reset();
        rd_kafka_mock_broker_set_up(cluster.get(), 1);
        spool::Options again;
        again.directory = pipeline.folder.path();
        pipeline.spool = std::move(*spool::Spool::open(again));
        pipeline.transmitter = pipeline.start(options);
        REQUIRE(pipeline.delivered());
        CHECK(tally(read_all(options)).distinct.size() == 2000);
    }
}

TEST_CASE("a configuration that librdkafka refuses is told at the start") {
    TemporaryFolder folder;
    spool::Options where;
    where.directory = folder.path();
    auto spool = std::move(*spool::Spool::open(where));
    Options options;
    options.brokers = "localhost:1";
    options.properties["max.in.flight"] = "10";
    auto transmitter = Transmitter::start(options, std::move(*spool->reader()));
    REQUIRE_FALSE(transmitter);
    CHECK(transmitter.error().code == ExitCode::configuration);
}
