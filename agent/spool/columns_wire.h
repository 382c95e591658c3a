// SPDX-License-Identifier: Apache-2.0
//
// For columns*.cc alone: protobuf's way to write numbers and texts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/spool/batch.h"

namespace tcptrail::spool::columns {

// Of a payload, when unpacked: a batch is cut at 1 MiB, but one of its messages may be larger.
inline constexpr size_t max_plain = 8 * max_batch_bytes;
// Of all its numbers and texts meanwhile. A batch of the shortest fields alone comes to some 12 MiB.
inline constexpr size_t max_parts = 64u << 20;

// The packed form is damaged. Stays inside columns*.cc.
struct Broken {};

class Reader {
public:
    explicit Reader(std::string_view text) : rest_(text) {}
    bool at_end() const { return rest_.empty(); }
    uint8_t byte() { return static_cast<uint8_t>(take(1)[0]); }
    uint64_t number() {
        uint64_t value = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            const uint8_t next = byte();
            value |= static_cast<uint64_t>(next & 0x7f) << shift;
            if (next < 0x80) return value;
        }
        throw Broken();
    }
    std::string_view take(uint64_t length) {
        if (length > rest_.size()) throw Broken();
        const auto taken = rest_.substr(0, length);
        rest_.remove_prefix(length);
        return taken;
    }
    std::string_view text() { return take(number()); }

private:
    std::string_view rest_;
};

inline void put_number(std::string& out, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        out.push_back(static_cast<char>(value | 0x80));
    out.push_back(static_cast<char>(value));
}

inline void put_text(std::string& out, std::string_view text) {
    put_number(out, text.size());
    out += text;
}

}  // namespace tcptrail::spool::columns
