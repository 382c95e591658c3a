// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/transmit/options.h"
#include "agent/transmit/session.h"

namespace tcptrail::transmit {

// A record of a topic. The views end with the call that it is given to.
struct Record {
    int32_t partition = 0;
    int64_t offset = 0;
    int64_t timestamp_unix_millis = -1;  // -1: it has none
    std::string_view key;
    std::string_view value;  // without framing
    std::vector<std::pair<std::string_view, std::string_view>> headers;
};

// Reads all partitions of a topic, in no group, and commits nothing. Belongs to one thread.
class Consumer {
public:
    struct Settings {
        std::string topic;
        bool from_beginning = false;  // otherwise only what comes from now on
        bool to_end = false;          // ends at the high watermarks that open() has noted; otherwise never
    };
    struct Partition {
        int32_t id = 0;
        int64_t low = 0;   // offset of the first record that is still there
        int64_t high = 0;  // offset after the last one
    };

    // Waits for the brokers up to `timeout` for each question. A missing topic is an error.
    static Result<std::unique_ptr<Consumer>> open(const Options& options, const Settings& settings,
                                                  Milliseconds timeout = session_timeout);
    ~Consumer();

    // As they were at open().
    const std::vector<Partition>& partitions() const { return partitions_; }

    // Calls `on_record` for each record, in order within a partition, until it returns false, `stop` is true
    // (looked at ten times a second), or the end is reached where there is one.
    Result<> run(const std::function<bool(const Record&)>& on_record, const std::atomic<bool>& stop);

private:
    explicit Consumer(const Settings& settings) : settings_(settings) {}
    Result<> begin();
    Result<bool> serve(const rd_kafka_message_t& message,
                       const std::function<bool(const Record&)>& on_record);
    // `next`: the offset that comes next in a partition.
    void reached(int32_t partition, int64_t next);

    const Settings settings_;
    std::unique_ptr<Session> session_;
    TopicPtr topic_;
    QueuePtr queue_;
    std::vector<Partition> partitions_;
    std::vector<bool> at_end_;  // by index of partitions_
    size_t started_ = 0;        // of partitions_
};

}  // namespace tcptrail::transmit
