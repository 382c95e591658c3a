// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/batch.h"

#include <xxhash.h>

#include <optional>
#include <utility>

namespace tcptrail::spool {
namespace {

void put_varint(std::string& out, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        out.push_back(static_cast<char>(value | 0x80));
    out.push_back(static_cast<char>(value));
}

// Takes pieces off the front of a payload; nullopt when it ends too early.
class Cursor {
public:
    explicit Cursor(std::span<const char> bytes) : rest_(bytes.data(), bytes.size()) {}

    bool at_end() const { return rest_.empty(); }

    std::optional<uint8_t> byte() {
        if (rest_.empty()) return std::nullopt;
        auto value = static_cast<uint8_t>(rest_.front());
        rest_.remove_prefix(1);
        return value;
    }

    // A length and as many bytes.
    std::optional<std::string_view> text() {
        uint64_t length = 0;
        for (int shift = 0;; shift += 7) {
            auto next = byte();
            // No length needs more than 35 bits: a longer one is no length.
            if (!next || shift > 28) return std::nullopt;
            length |= static_cast<uint64_t>(*next & 0x7f) << shift;
            if (*next < 0x80) break;
        }
        if (length > rest_.size()) return std::nullopt;
        std::string_view value = rest_.substr(0, length);
        rest_.remove_prefix(length);
        return value;
    }

private:
    std::string_view rest_;
};

}  // namespace

PayloadBuilder::PayloadBuilder() : payload_(1, plain_payload) {}

void PayloadBuilder::add(const Message& message) {
    payload_.push_back(static_cast<char>(message.topic));
    put_varint(payload_, message.key.size());
    payload_ += message.key;
    put_varint(payload_, message.value.size());
    payload_ += message.value;
    events_++;
}

std::string PayloadBuilder::take() {
    events_ = 0;
    return std::exchange(payload_, std::string(1, plain_payload));
}

Result<std::vector<MessageView>> parse_payload(std::span<const char> payload) {
    Cursor cursor(payload);
    auto version = cursor.byte();
    if (!version) return fail("empty payload");
    if (*version != plain_payload) return fail("unknown payload format " + std::to_string(*version));

    std::vector<MessageView> messages;
    while (!cursor.at_end()) {
        auto topic = cursor.byte();
        auto key = cursor.text();
        auto value = cursor.text();
        if (!key || !value) return fail("payload ends inside message " + std::to_string(messages.size()));
        if (*topic >= topic_count) return fail("unknown topic " + std::to_string(*topic));
        messages.push_back({static_cast<Topic>(*topic), *key, *value});
    }
    return messages;
}

uint64_t checksum(const RowHead& head) {
    const uint64_t fields[] = {head.id, head.created_unix_nanos, head.events, head.bytes};
    return XXH3_64bits(fields, sizeof(fields));
}

uint64_t checksum(uint64_t head_checksum, std::span<const char> payload) {
    return XXH3_64bits_withSeed(payload.data(), payload.size(), head_checksum);
}

}  // namespace tcptrail::spool
