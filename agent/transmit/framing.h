// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/encode/message.h"
#include "agent/transmit/options.h"

namespace tcptrail::transmit {

// Puts the confluent frame before a message, into `out`, which it overwrites: 0x00, the schema's id (big
// endian), and the index of the message in its schema, which is the first: 0x00.
void add_confluent_frame(uint32_t schema_id, std::string_view message, std::string& out);

// The message inside a record's value, framed or not. No protobuf message begins with a 0x00 byte, so the
// first byte tells. A broken frame is left as it is.
std::string_view strip_frame(std::string_view value);

// The value of the header "content-type" of a topic's records.
std::string_view content_type(Topic topic);
inline constexpr std::string_view schema_version = "1";

}  // namespace tcptrail::transmit
