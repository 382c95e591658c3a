// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
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

// Reads all partitions of a topic, in no group, and commits nothing. Where what is to be read has been
// removed meanwhile, that is an error. Belongs to one thread.
class Consumer {
public:
    struct Settings {
        std::string topic;
        bool from_beginning = false;  // otherwise only what comes from now on
        bool to_end = false;          // ends at the high watermarks that open() has noted; otherwise never
        std::map<int32_t, int64_t> from = {};  // of these partitions from these offsets on
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

    enum class Ending { reached_end, taker, stopped, time };
    using Time = std::chrono::steady_clock::time_point;

    // Calls `on_record` for each record, in order within a partition, until it returns false (taker), `stop`
    // is true or it is `until` (both looked at ten times a second), or the end is reached where there is one.
    // May be called again to go on.
    Result<Ending> run(const std::function<bool(const Record&)>& on_record, const std::atomic<bool>& stop,
                       Time until = Time::max());

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
    std::vector<bool> at_end_;        // by index of partitions_
    size_t started_ = 0;              // of partitions_
    std::vector<MessagePtr> unread_;  // read from the queue and not yet given to the taker, the next one last
};

}  // namespace tcptrail::transmit
