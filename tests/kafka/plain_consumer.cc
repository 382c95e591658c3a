// SPDX-License-Identifier: Apache-2.0
//
// What any user of the stream could write: protoc's output and a plain Kafka client, none of
// tcptrail's code. Reads a topic from its beginning to its present end and prints how many events
// of each kind it decoded:
//
//     plain_consumer BROKERS TOPIC [N [NETNS [PID]]]
//
// N: also prints every Nth event, as one line of text. NETNS, the inode of a network namespace: counts only
// its events, and each (run_id, sequence) once; what was delivered again it counts as DUPLICATES. Where the
// topic has message.timestamp.type=LogAppendTime, it then tells also how long they took to the broker's log,
// in milliseconds: DELAY_P50, DELAY_P99, DELAY_MAX. PID: only those of a process, for a namespace's number
// may be used again.
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "schemas/v1/connection.pb.h"

namespace {

using tcptrail::v1::ConnectionEvent;

template <auto destroy>
struct Destroy {
    template <class T>
    void operator()(T* object) const {
        destroy(object);
    }
};

using Consumer = std::unique_ptr<rd_kafka_t, Destroy<rd_kafka_destroy>>;
using Metadata = std::unique_ptr<const rd_kafka_metadata_t, Destroy<rd_kafka_metadata_destroy>>;
using Partitions =
    std::unique_ptr<rd_kafka_topic_partition_list_t, Destroy<rd_kafka_topic_partition_list_destroy>>;
using Topic = std::unique_ptr<rd_kafka_topic_t, Destroy<rd_kafka_topic_destroy>>;
using Message = std::unique_ptr<rd_kafka_message_t, Destroy<rd_kafka_message_destroy>>;

void check(rd_kafka_resp_err_t error, const char* what) {
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        throw std::runtime_error(std::string(what) + ": " + rd_kafka_err2str(error));
}

Consumer connect(const std::string& brokers) {
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    char error[256];
    const std::map<std::string, std::string> settings = {
        {"bootstrap.servers", brokers},
        {"group.id", "plain_consumer"},  // librdkafka wants one; nothing is committed
        {"enable.auto.commit", "false"},
        {"enable.partition.eof", "true"},  // says when the end is reached
        {"check.crcs", "true"},
    };
    for (const auto& [name, value] : settings) {
        if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), error, sizeof error) != RD_KAFKA_CONF_OK)
            throw std::runtime_error(error);
    }
    Consumer consumer(rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error));
    if (!consumer) throw std::runtime_error(error);
    return consumer;
}

// Takes all partitions of the topic, from their beginning, and returns how many there are.
int assign_all(rd_kafka_t* consumer, const char* topic_name) {
    const Topic topic(rd_kafka_topic_new(consumer, topic_name, nullptr));
    const rd_kafka_metadata_t* raw = nullptr;
    check(rd_kafka_metadata(consumer, 0, topic.get(), &raw, 10'000), "metadata");
    const Metadata metadata(raw);
    check(metadata->topics[0].err, topic_name);
    const int count = metadata->topics[0].partition_cnt;
    const Partitions partitions(rd_kafka_topic_partition_list_new(count));
    for (int i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(partitions.get(), topic_name, i)->offset =
            RD_KAFKA_OFFSET_BEGINNING;
    check(rd_kafka_assign(consumer, partitions.get()), "assign");
    return count;
}

// Which events were seen before.
class Seen {
public:
    // True the first time.
    bool add(const std::string& run, uint64_t sequence) {
        std::vector<bool>& of_run = seen_[run];
        if (of_run.size() <= sequence) of_run.resize(2 * sequence + 1);
        const bool is_new = !of_run[sequence];
        of_run[sequence] = true;
        return is_new;
    }

private:
    std::map<std::string, std::vector<bool>> seen_;
};

// From the end of the connection, or when the agent made an event of one that is open, until the broker had
// stored it.
void note_delay(const rd_kafka_message_t* message, const ConnectionEvent& event,
                std::vector<int64_t>& delays) {
    const uint64_t began = event.ended_unix_nanos() ? event.ended_unix_nanos() : event.emitted_unix_nanos();
    rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    const int64_t stored = rd_kafka_message_timestamp(message, &type);
    if (type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME)
        delays.push_back(stored - static_cast<int64_t>(began / 1'000'000));
}

void print(std::vector<int64_t> delays) {
    if (delays.empty()) return;
    std::sort(delays.begin(), delays.end());
    std::printf("DELAY_P50 %ld\nDELAY_P99 %ld\nDELAY_MAX %ld\n", delays[delays.size() / 2],
                delays[delays.size() * 99 / 100], delays.back());
}

void consume(const std::string& brokers, const char* topic, uint64_t every, uint32_t netns, uint32_t pid) {
    const Consumer consumer = connect(brokers);
    check(rd_kafka_poll_set_consumer(consumer.get()), "poll");
    int open_partitions = assign_all(consumer.get(), topic);

    std::map<std::string, uint64_t> kinds;
    uint64_t events = 0;
    Seen seen;
    std::vector<int64_t> delays;
    while (open_partitions > 0) {
        const Message message(rd_kafka_consumer_poll(consumer.get(), 10'000));
        if (!message) throw std::runtime_error("no message for 10 s, and not at the end");
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            open_partitions--;
            continue;
        }
        check(message->err, "message");
        ConnectionEvent event;
        if (!event.ParseFromArray(message->payload, static_cast<int>(message->len)))
            throw std::runtime_error("not a ConnectionEvent, at offset " + std::to_string(message->offset));
        if (netns != 0 && event.netns() != netns) continue;
        if (pid != 0 && event.process().pid() != pid) continue;
        if (netns != 0 && !seen.add(event.run_id(), event.sequence())) {
            kinds["DUPLICATES"]++;
            continue;
        }
        kinds[tcptrail::v1::EventKind_Name(event.kind())]++;
        if (netns != 0) note_delay(message.get(), event, delays);
        if (every > 0 && ++events % every == 0) std::printf("%s\n", event.ShortDebugString().c_str());
    }
    rd_kafka_consumer_close(consumer.get());
    for (const auto& [kind, count] : kinds)
        std::printf("%s %lu\n", kind.c_str(), count);
    print(std::move(delays));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3 || argc > 6) {
        std::fprintf(stderr, "usage: plain_consumer BROKERS TOPIC [N [NETNS [PID]]]\n");
        return 2;
    }
    try {
        consume(argv[1], argv[2], argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 0,
                argc > 4 ? static_cast<uint32_t>(std::strtoul(argv[4], nullptr, 10)) : 0,
                argc > 5 ? static_cast<uint32_t>(std::strtoul(argv[5], nullptr, 10)) : 0);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "plain_consumer: %s\n", error.what());
        return 1;
    }
}
