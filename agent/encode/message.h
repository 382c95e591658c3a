// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace tcptrail {

// The stream that a message belongs to. The number is what the spool stores: never reused.
enum class Topic : uint8_t {
    connections = 0,
    agents = 1,
};
inline constexpr int topic_count = 2;

// One Kafka record before framing: what encode makes, the spool keeps and transmit sends.
struct Message {
    Topic topic = Topic::connections;
    std::string key;
    std::string value;  // serialized protobuf
    // CLOCK_BOOTTIME since when the stream may have an earlier event of the same connection; 0: it has none.
    uint64_t earlier_ns = 0;
};

}  // namespace tcptrail
