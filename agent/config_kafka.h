// SPDX-License-Identifier: Apache-2.0
//
// What Kafka and librdkafka demand of the values under kafka.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "agent/config_values.h"

namespace tcptrail {

// "what is wrong; what is allowed"; nothing: all is well.
using Problem = std::optional<std::string>;

// host:port,host:port without blanks; an empty text is an empty list.
inline constexpr std::string_view brokers_allowed = "host:port or [IPv6 address]:port, ports 1 to 65535";
Parsed<std::string> parse_brokers(const std::string& text);

inline constexpr std::string_view topic_allowed =
    "1 to 249 of the characters a-z A-Z 0-9 . _ - but not . or ..";
Parsed<std::string> parse_topic(const std::string& text);

// Asks librdkafka itself whether it takes the property, and refuses what would break the delivery.
Problem check_property(const std::string& name, const std::string& value);

// The same for the content of the file at `path`, which must be readable.
Problem check_property_file(const std::string& name, const std::string& path);

// Whether the file that a property names (transmit::is_file_property) can be read.
Problem check_location(const std::string& name, const std::string& path);

}  // namespace tcptrail
