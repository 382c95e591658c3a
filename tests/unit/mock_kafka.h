// SPDX-License-Identifier: Apache-2.0
//
// librdkafka's mock cluster, and a spool that is emptied into it. What it cannot do is tested against a real
// broker in tests/kafka.
#pragma once

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "agent/spool/spool.h"
#include "agent/transmit/client.h"
#include "agent/transmit/consumer.h"
#include "agent/transmit/transmitter.h"
#include "tests/catch.h"
#include "tests/unit/temporary_folder.h"

namespace tests {

namespace fs = std::filesystem;
using namespace tcptrail;
using namespace tcptrail::transmit;
using namespace std::chrono_literals;

inline constexpr int16_t produce_request = 0;
inline constexpr const char* connections_topic = "tcptrail.connections";

// Brokers in this process.
class MockCluster {
public:
    explicit MockCluster(int brokers = 1) {
        rd_kafka_conf_t* conf = rd_kafka_conf_new();
        rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t*, int, const char*, const char*) {});
        client_.reset(rd_kafka_new(RD_KAFKA_PRODUCER, conf, nullptr, 0));
        REQUIRE(client_);
        cluster_.reset(rd_kafka_mock_cluster_new(client_.get(), brokers));
        REQUIRE(cluster_);
        rd_kafka_mock_topic_create(get(), connections_topic, 4, 1);
        rd_kafka_mock_topic_create(get(), "tcptrail.agents", 1, 1);
    }
    rd_kafka_mock_cluster_t* get() const { return cluster_.get(); }
    std::string brokers() const { return rd_kafka_mock_cluster_bootstraps(get()); }
    // The next produce requests are answered with `error`.
    void fail_produce(rd_kafka_resp_err_t error, int times = 1) {
        const std::vector<rd_kafka_resp_err_t> errors(static_cast<size_t>(times), error);
        rd_kafka_mock_push_request_errors_array(get(), produce_request, errors.size(), errors.data());
    }
    Options options() const {
        Options options;
        options.brokers = brokers();
        return options;
    }

private:
    ClientPtr client_;
    std::unique_ptr<rd_kafka_mock_cluster_t, Destroy<rd_kafka_mock_cluster_destroy>> cluster_;
};

// A spool and the transmitter that empties it.
struct Pipeline {
    explicit Pipeline(const Options& kafka) {
        spool::Options options;
        options.directory = folder.path();
        spool = std::move(*spool::Spool::open(options));
        transmitter = start(kafka);
    }
    std::unique_ptr<Transmitter> start(const Options& kafka) {
        auto reader = spool->reader();
        REQUIRE(reader);
        auto started = Transmitter::start(kafka, std::move(*reader));
        if (!started) FAIL(started.error().message);
        return std::move(*started);
    }
    void append(int first, int count, size_t value_bytes = 50, Topic topic = Topic::connections) {
        std::vector<Message> messages;
        for (int i = first; i < first + count; i++) {
            std::string value = "\n" + std::to_string(i) + " ";
            value.resize(std::max(value.size(), value_bytes), 'v');
            messages.push_back({topic, "key " + std::to_string(i % 17), value});
        }
        REQUIRE(spool->append(messages, {}));
    }
    // Until the file has all that it is to have.
    void settle() {
        REQUIRE(until([this] { return spool->settled() && spool->idle(); }));
    }
    // Until all that was appended is released, or the time is over.
    bool delivered(std::chrono::milliseconds timeout = 15s) {
        return until([this] { return spool->stats().held == 0; }, timeout);
    }
    bool until(const std::function<bool()>& condition, std::chrono::milliseconds timeout = 15s) {
        for (const auto end = std::chrono::steady_clock::now() + timeout;
             std::chrono::steady_clock::now() < end;) {
            REQUIRE(spool->maintain());
            if (condition()) return true;
            std::this_thread::sleep_for(5ms);
        }
        return false;
    }

    TemporaryFolder folder;
    std::unique_ptr<spool::Spool> spool;
    std::unique_ptr<Transmitter> transmitter;
};

struct Read {
    std::string key, value;
    std::map<std::string, std::string> headers;
};

// All records of a topic, by partition.
inline std::map<int32_t, std::vector<Read>> read_all(const Options& options,
                                                     const std::string& topic = connections_topic) {
    auto consumer = Consumer::open(options, {.topic = topic, .from_beginning = true, .to_end = true});
    if (!consumer) FAIL(consumer.error().message);
    std::map<int32_t, std::vector<Read>> records;
    const std::atomic<bool> stop = false;
    auto done = (*consumer)->run(
        [&records](const Record& record) {
            Read read{std::string(record.key), std::string(record.value), {}};
            for (const auto& [name, value] : record.headers)
                read.headers[std::string(name)] = std::string(value);
            auto& partition = records[record.partition];
            CHECK(record.offset == static_cast<int64_t>(partition.size()));
            CHECK(record.timestamp_unix_millis > 1'600'000'000'000);
            partition.push_back(std::move(read));
            return true;
        },
        stop);
    if (!done) FAIL(done.error().message);
    return records;
}

inline int number_of(const Read& read) {
    return std::atoi(read.value.c_str() + 1);
}

struct Tally {
    std::set<int> distinct;
    int duplicates = 0;
    int out_of_order = 0;  // within a key, the first sight of each number
};

inline Tally tally(const std::map<int32_t, std::vector<Read>>& records) {
    Tally result;
    std::map<std::string, int> last;
    for (const auto& [partition, list] : records)
        for (const Read& read : list) {
            const int number = number_of(read);
            if (!result.distinct.insert(number).second) {
                result.duplicates++;
                continue;
            }
            auto [entry, first] = last.try_emplace(read.key, number);
            if (!first && number < entry->second) result.out_of_order++;
            entry->second = number;
        }
    return result;
}

}  // namespace tests
