// SPDX-License-Identifier: Apache-2.0
//
// The topics as they should be, and what the brokers have. Each call opens its own client, and waits for the
// brokers up to `timeout` for each of its steps.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/transmit/options.h"
#include "agent/transmit/session.h"

namespace tcptrail::transmit {

struct WantedTopic {
    std::string name;
    int32_t partitions = 1;
    std::map<std::string, std::string> settings;  // by Kafka's names
};

std::vector<WantedTopic> wanted_topics(const Options& options);

struct TopicReport {
    std::string topic;
    bool exists = false;
    bool created = false;                  // by this call
    std::vector<std::string> differences;  // from what is wanted, a sentence each
};

// Compares. A missing topic is no error but a report.
Result<std::vector<TopicReport>> check_topics(const Options& options, Milliseconds timeout = session_timeout);

// Makes what is missing, then compares. Without a replication factor the brokers' own default holds.
Result<std::vector<TopicReport>> create_topics(const Options& options, std::optional<int> replication_factor,
                                               Milliseconds timeout = session_timeout);

}  // namespace tcptrail::transmit
