// SPDX-License-Identifier: Apache-2.0
//
// A batch: the messages that one transaction stored, and its form on disk (see README.md).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/encode/message.h"
#include "agent/spool/lane.h"

namespace tcptrail::spool {

// The first byte of a payload.
inline constexpr char plain_payload = 1;
inline constexpr char compressed_payload = 2;  // a zstd frame with the plain one
inline constexpr char columns_payload = 3;     // see columns.h

// What one damaged batch costs at most, but for a single message that is larger.
inline constexpr size_t max_batch_bytes = 1u << 20;

// A message inside a payload. The views end with the payload.
struct MessageView {
    Topic topic = Topic::connections;
    std::string_view key;
    std::string_view value;
};

// A batch as the reader hands it out. Moving it keeps the views valid; it cannot be copied.
struct Batch {
    Batch() = default;
    Batch(Batch&&) noexcept = default;
    Batch& operator=(Batch&&) noexcept = default;

    uint64_t id = 0;  // contiguous within its lane, in the order of appending; never used twice
    Lane lane = Lane::live;
    uint64_t created_unix_nanos = 0;
    std::vector<char> payload;          // what the views point into
    std::vector<MessageView> messages;  // in the order of appending
};

// Builds one payload, message by message.
class PayloadBuilder {
public:
    PayloadBuilder();

    void add(const Message& message);
    uint32_t events() const { return events_; }
    size_t bytes() const { return payload_.size(); }

    // The finished payload; the builder is empty again.
    std::string take();

private:
    std::string payload_;
    uint32_t events_ = 0;
};

// Reads a plain payload of any origin; the views point into `payload`. The error says what is wrong with it.
Result<std::vector<MessageView>> parse_payload(std::span<const char> payload);

// What a row tells of its payload.
struct RowHead {
    uint64_t id = 0;
    uint64_t created_unix_nanos = 0;
    uint64_t events = 0;
    uint64_t bytes = 0;
};

// XXH3-64 of the head, and of the payload bound to the head's: a batch is whole when both fit. When only the
// head's does, it is still known how many events are lost.
uint64_t checksum(const RowHead& head);
uint64_t checksum(uint64_t head_checksum, std::span<const char> payload);

}  // namespace tcptrail::spool
