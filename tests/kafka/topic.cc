// SPDX-License-Identifier: Apache-2.0
#include "tests/kafka/topic.h"

#include "tests/kafka/admin.h"

namespace tests {

namespace {

using namespace admin;
using Deletion = std::unique_ptr<rd_kafka_DeleteTopic_t, Destroy<rd_kafka_DeleteTopic_destroy>>;
using Addition = std::unique_ptr<rd_kafka_NewPartitions_t, Destroy<rd_kafka_NewPartitions_destroy>>;

void require_success(const rd_kafka_topic_result_t* const* results, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_topic_result_error(results[i]) != RD_KAFKA_RESP_ERR_NO_ERROR)
            throw std::runtime_error(rd_kafka_err2str(rd_kafka_topic_result_error(results[i])));
}

}  // namespace

void delete_topic(const std::string& brokers, const std::string& topic) {
    const Client client = connect(brokers);
    const Deletion deletion(rd_kafka_DeleteTopic_new(topic.c_str()));
    rd_kafka_DeleteTopic_t* deletions[] = {deletion.get()};
    const Reply reply = answer(client.get(), [&](rd_kafka_queue_t* queue) {
        rd_kafka_DeleteTopics(client.get(), deletions, 1, nullptr, queue);
    });
    size_t count = 0;
    require_success(
        rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(reply.get()), &count), count);
}

void add_partitions(const std::string& brokers, const std::string& topic, size_t partitions) {
    const Client client = connect(brokers);
    Text why{};
    const Addition addition(rd_kafka_NewPartitions_new(topic.c_str(), partitions, why.data(), why.size()));
    if (!addition) throw std::runtime_error(why.data());
    rd_kafka_NewPartitions_t* additions[] = {addition.get()};
    const Reply reply = answer(client.get(), [&](rd_kafka_queue_t* queue) {
        rd_kafka_CreatePartitions(client.get(), additions, 1, nullptr, queue);
    });
    size_t count = 0;
    require_success(
        rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(reply.get()), &count),
        count);
}

}  // namespace tests
