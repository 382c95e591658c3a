// SPDX-License-Identifier: Apache-2.0
#include "agent/transmit/framing.h"

#include <optional>

namespace tcptrail::transmit {
namespace {

// A varint off the front.
std::optional<uint64_t> take_varint(std::string_view& bytes) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
        const auto next = static_cast<uint8_t>(bytes.front());
        bytes.remove_prefix(1);
        value |= static_cast<uint64_t>(next & 0x7f) << shift;
        if (next < 0x80) return value;
    }
    return std::nullopt;
}

}  // namespace

void add_confluent_frame(uint32_t schema_id, std::string_view message, std::string& out) {
    out.clear();
    out.push_back('\0');
    for (int shift = 24; shift >= 0; shift -= 8)
        out.push_back(static_cast<char>(schema_id >> shift));
    out.push_back('\0');
    out += message;
}

std::string_view strip_frame(std::string_view value) {
    constexpr size_t header = 5;  // magic byte and schema id
    if (value.size() <= header || value.front() != '\0') return value;
    std::string_view rest = value.substr(header);
    // Zigzag: how many indexes follow; 0 stands for the one index 0.
    auto count = take_varint(rest);
    if (!count) return value;
    for (uint64_t i = 0; i < *count / 2; i++)
        if (!take_varint(rest)) return value;
    return rest;
}

std::string_view content_type(Topic topic) {
    switch (topic) {
        case Topic::connections:
            return "application/x-protobuf; message=tcptrail.v1.ConnectionEvent";
        case Topic::agents:
            return "application/x-protobuf; message=tcptrail.v1.AgentReport";
    }
    return "application/x-protobuf";
}

}  // namespace tcptrail::transmit
