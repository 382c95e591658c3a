// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "agent/encode/message.h"

namespace tcptrail::transmit {

enum class Framing { raw, confluent };

struct Options {
    std::string brokers;  // host:port,host:port; empty: no Kafka
    std::array<std::string, topic_count> topics = {"tcptrail.connections", "tcptrail.agents"};  // by Topic
    Framing framing = Framing::raw;
    std::array<uint32_t, topic_count> schema_ids = {};  // by Topic; for Framing::confluent
    // librdkafka's own names and values; they win over the agent's defaults, but for what delivery depends on
    // (enable.idempotence, acks), which may only be repeated.
    std::map<std::string, std::string> properties;
    // librdkafka's name → file whose content, less one trailing newline, is the value: for secrets.
    std::map<std::string, std::string> property_files;
};

}  // namespace tcptrail::transmit
