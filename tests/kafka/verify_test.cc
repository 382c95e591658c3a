// SPDX-License-Identifier: Apache-2.0
//
// What consume --verify proves: while the stream goes on, at its end, and where records were removed.
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/kafka/admin.h"
#include "tests/kafka/process.h"
#include "tests/kafka/setting.h"
#include "tests/kafka/topic.h"

using namespace tests;
using Catch::Matchers::ContainsSubstring;

namespace {

std::vector<std::string> verify(const std::string& connections, const std::string& agents) {
    return {built("tcptrail"),
            "consume",
            "--brokers",
            brokers(),
            "--from",
            "beginning",
            "--verify",
            "--set",
            "kafka.topics.connections=" + connections,
            "--set",
            "kafka.topics.agents=" + agents};
}

void tell_500_connections(const Setting& setting) {
    setting.create_topics();
    Process agent(setting.agent());
    REQUIRE(is_tracing(agent));
    truth_of(run(generator(500)));
    require_stops(agent);
}

// Copies the records of all partitions but for the last one of each; the number that was left out.
uint64_t copy_without_last(const std::string& from, const std::string& to, int32_t partitions) {
    const admin::Client producer = admin::connect(brokers());
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers().c_str(), nullptr, 0);
    const admin::Client consumer(rd_kafka_new(RD_KAFKA_CONSUMER, conf, nullptr, 0));
    REQUIRE(consumer);
    rd_kafka_topic_t* const topic = rd_kafka_topic_new(consumer.get(), from.c_str(), nullptr);
    uint64_t left_out = 0;
    for (int32_t partition = 0; partition < partitions; partition++) {
        int64_t low = 0, high = 0;
        REQUIRE(rd_kafka_query_watermark_offsets(consumer.get(), from.c_str(), partition, &low, &high,
                                                 10'000) == RD_KAFKA_RESP_ERR_NO_ERROR);
        if (high == 0) continue;
        left_out++;
        REQUIRE(rd_kafka_consume_start(topic, partition, 0) == 0);
        for (int64_t next = 0; next < high - 1;) {
            rd_kafka_message_t* const message = rd_kafka_consume(topic, partition, 10'000);
            REQUIRE(message != nullptr);
            REQUIRE(message->err == RD_KAFKA_RESP_ERR_NO_ERROR);
            REQUIRE(rd_kafka_producev(producer.get(), RD_KAFKA_V_TOPIC(to.c_str()),
                                      RD_KAFKA_V_PARTITION(partition),
                                      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                      RD_KAFKA_V_VALUE(message->payload, message->len),
                                      RD_KAFKA_V_END) == RD_KAFKA_RESP_ERR_NO_ERROR);
            next = message->offset + 1;
            rd_kafka_message_destroy(message);
        }
        rd_kafka_consume_stop(topic, partition);
    }
    rd_kafka_topic_destroy(topic);
    REQUIRE(rd_kafka_flush(producer.get(), 10'000) == RD_KAFKA_RESP_ERR_NO_ERROR);
    return left_out;
}

void delete_records(const std::string& topic, int32_t partition, int64_t before) {
    const admin::Client client = admin::connect(brokers());
    const std::unique_ptr<rd_kafka_topic_partition_list_t,
                          admin::Destroy<rd_kafka_topic_partition_list_destroy>>
        list(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition)->offset = before;
    rd_kafka_DeleteRecords_t* request = rd_kafka_DeleteRecords_new(list.get());
    admin::answer(client.get(), [&](rd_kafka_queue_t* queue) {
        rd_kafka_DeleteRecords(client.get(), &request, 1, nullptr, queue);
    });
    rd_kafka_DeleteRecords_destroy(request);
}

}  // namespace

TEST_CASE("verify, while much comes: what is on its way is no hole", "[kafka][root]") {
    if (geteuid() != 0) SKIP_TEST("needs root");
    const Setting setting;
    setting.create_topics();
    Process agent(setting.agent());
    REQUIRE(is_tracing(agent));
    Process load(generator(15'000, 2'500));
    for (int look = 0; look < 8; look++) {
        const Finished verified = run(verify(setting.topic(), setting.name() + ".agents"), seconds(60));
        INFO(verified.output << verified.errors);
        REQUIRE(verified.status == 0);
        CHECK_THAT(verified.output, ContainsSubstring(" 0 holes"));
    }
    CHECK(load.wait(seconds(60)) == 0);
    require_stops(agent);
}

TEST_CASE("verify, at the end of a run: the reports tell how far it goes", "[kafka][root]") {
    if (geteuid() != 0) SKIP_TEST("needs root");
    const Setting setting;
    tell_500_connections(setting);
    const std::string reports = setting.name() + ".agents";

    const std::string shorter = setting.name() + ".shorter";
    const int32_t partitions = static_cast<int32_t>(replicas_of(brokers(), setting.topic()).size());
    create_topic(brokers(), shorter, static_cast<size_t>(partitions), {1});
    const uint64_t left_out = copy_without_last(setting.topic(), shorter, partitions);
    const Finished verified = run(verify(shorter, reports), seconds(60));
    INFO(verified.output << verified.errors);
    CHECK(verified.status == 1);
    CHECK_THAT(verified.output, ContainsSubstring("(" + std::to_string(left_out) + " events missing)"));
    CHECK_THAT(verified.output, ContainsSubstring("    its agent's last report, "));

    // Where the reports are not to be had it says so.
    const Finished alone = run(verify(shorter, setting.name() + ".absent"), seconds(60));
    CHECK_THAT(alone.errors,
               ContainsSubstring("without the agents' reports the end of a run is not verified"));

    // Nothing at all of a run is missing, too: in its own topic, not in one that the user names.
    const std::string empty = setting.name() + ".empty";
    create_topic(brokers(), empty, 1, {1});
    CHECK(run(verify(empty, reports), seconds(60)).status == 1);
    auto named = verify(setting.topic(), reports);
    named.insert(named.end(), {"--topic", empty});
    const Finished elsewhere = run(named, seconds(60));
    CHECK(elsewhere.status == 0);
    CHECK_THAT(elsewhere.errors, ContainsSubstring("of 1 more runs with reports, no event is here"));
}

TEST_CASE("verify, where records were removed, and where it was not read to the end", "[kafka][root]") {
    if (geteuid() != 0) SKIP_TEST("needs root");
    const Setting setting;
    tell_500_connections(setting);

    auto some = verify(setting.topic(), setting.name() + ".agents");
    some.insert(some.end(), {"--count", "100"});
    const Finished part = run(some, seconds(60));
    CHECK(part.status == 1);
    CHECK_THAT(part.errors, ContainsSubstring("not read to the end"));

    // Of one partition half, of another all.
    delete_records(setting.topic(), 0, 50);
    delete_records(setting.topic(), 1, -1);
    const Finished verified = run(verify(setting.topic(), setting.name() + ".agents"), seconds(60));
    INFO(verified.output << verified.errors);
    CHECK(verified.status == 0);
    CHECK_THAT(verified.errors, ContainsSubstring("partition 0 begins at offset 50"));
    CHECK_THAT(verified.output, ContainsSubstring(" not checked, ") && ContainsSubstring(" 0 holes"));
    CHECK_THAT(verified.output, ContainsSubstring(", 1 run not checked"));
}
