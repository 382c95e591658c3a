// SPDX-License-Identifier: Apache-2.0
#include "tests/kafka/topic.h"

#include <span>

#include "tests/kafka/admin.h"

namespace tests {

namespace {

using namespace admin;
using NewTopic = std::unique_ptr<rd_kafka_NewTopic_t, Destroy<rd_kafka_NewTopic_destroy>>;
using Deletion = std::unique_ptr<rd_kafka_DeleteTopic_t, Destroy<rd_kafka_DeleteTopic_destroy>>;
using Addition = std::unique_ptr<rd_kafka_NewPartitions_t, Destroy<rd_kafka_NewPartitions_destroy>>;
using Handle = std::unique_ptr<rd_kafka_topic_t, Destroy<rd_kafka_topic_destroy>>;
using Metadata = std::unique_ptr<const rd_kafka_metadata_t, Destroy<rd_kafka_metadata_destroy>>;

void require_success(const rd_kafka_topic_result_t* const* results, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_topic_result_error(results[i]) != RD_KAFKA_RESP_ERR_NO_ERROR)
            throw std::runtime_error(rd_kafka_err2str(rd_kafka_topic_result_error(results[i])));
}

}  // namespace

void create_topic(const std::string& brokers, const std::string& topic, size_t partitions,
                  std::vector<int32_t> replicas) {
    const Client client = connect(brokers);
    Text why{};
    const NewTopic wanted(
        rd_kafka_NewTopic_new(topic.c_str(), static_cast<int>(partitions), -1, why.data(), why.size()));
    if (!wanted) throw std::runtime_error(why.data());
    for (size_t i = 0; i < partitions; i++)
        if (rd_kafka_NewTopic_set_replica_assignment(wanted.get(), static_cast<int32_t>(i), replicas.data(),
                                                     replicas.size(), why.data(),
                                                     why.size()) != RD_KAFKA_RESP_ERR_NO_ERROR)
            throw std::runtime_error(why.data());
    rd_kafka_NewTopic_t* topics[] = {wanted.get()};
    const Reply reply = answer(client.get(), [&](rd_kafka_queue_t* queue) {
        rd_kafka_CreateTopics(client.get(), topics, 1, nullptr, queue);
    });
    size_t count = 0;
    require_success(
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(reply.get()), &count), count);
}

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

std::vector<Replicas> replicas_of(const std::string& brokers, const std::string& topic) {
    const Client client = connect(brokers);
    const Handle handle(rd_kafka_topic_new(client.get(), topic.c_str(), nullptr));
    const rd_kafka_metadata_t* raw = nullptr;
    const auto error = rd_kafka_metadata(client.get(), 0, handle.get(), &raw, timeout_ms);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) throw std::runtime_error(rd_kafka_err2str(error));
    const Metadata metadata(raw);
    const rd_kafka_metadata_topic_t& known = metadata->topics[0];
    if (known.err != RD_KAFKA_RESP_ERR_NO_ERROR) throw std::runtime_error(rd_kafka_err2str(known.err));
    std::vector<Replicas> found;
    for (const auto& partition : std::span(known.partitions, static_cast<size_t>(known.partition_cnt)))
        found.push_back({partition.leader, {partition.isrs, partition.isrs + partition.isr_cnt}});
    return found;
}

}  // namespace tests
