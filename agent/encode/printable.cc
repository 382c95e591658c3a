// SPDX-License-Identifier: Apache-2.0
#include "agent/encode/printable.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>

#include "agent/base/utf8.h"

namespace tcptrail::encode {
namespace {

// The value of one valid UTF-8 sequence.
uint32_t code_point(std::string_view sequence) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(sequence[i]); };
    if (sequence.size() == 1) return byte(0);
    uint32_t value = byte(0) & (0x7fu >> sequence.size());
    for (size_t i = 1; i < sequence.size(); i++)
        value = value << 6 | (byte(i) & 0x3fu);
    return value;
}

// Characters that move the cursor, start an escape sequence, reorder the line or cannot be seen.
bool acts_on_terminal(uint32_t c) {
    struct Range {
        uint32_t first, last;
    };
    constexpr Range ranges[] = {
        {0x0000, 0x001f}, {0x007f, 0x009f}, {0x061c, 0x061c}, {0x200b, 0x200f},   {0x2028, 0x202e},
        {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff},
    };
    return std::ranges::any_of(ranges, [c](Range range) { return c >= range.first && c <= range.last; });
}

std::string escape_if(std::string_view text, bool (*escaped)(uint32_t)) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const size_t length = utf8_sequence(text);
        if (length == 0) {
            fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(text[0]));
            text.remove_prefix(1);
            continue;
        }
        const std::string_view sequence = text.substr(0, length);
        const uint32_t c = code_point(sequence);
        if (!escaped(c)) {
            out += sequence;
        } else if (c < 0x80) {
            fmt::format_to(std::back_inserter(out), "\\x{:02x}", c);
        } else if (c <= 0xffff) {
            fmt::format_to(std::back_inserter(out), "\\u{:04x}", c);
        } else {
            fmt::format_to(std::back_inserter(out), "\\U{:08x}", c);
        }
        text.remove_prefix(length);
    }
    return out;
}

}  // namespace

std::string printable(std::string_view text) {
    // Nearly every name is plain ASCII.
    if (std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; })) return std::string(text);
    return escape_if(text, acts_on_terminal);
}

bool is_ascii(std::string_view text) {
    // Eight at a time: it is done for each name of each event.
    uint64_t all = 0;
    for (; text.size() >= sizeof all; text.remove_prefix(sizeof all)) {
        uint64_t word = 0;
        std::memcpy(&word, text.data(), sizeof word);
        all |= word;
    }
    for (const char c : text)
        all |= static_cast<unsigned char>(c);
    return (all & 0x8080'8080'8080'8080) == 0;
}

std::string repaired_utf8(std::string_view text) {
    if (is_ascii(text)) return std::string(text);
    return escape_if(text, [](uint32_t) { return false; });
}

size_t display_width(std::string_view text) {
    // Every byte but the continuations begins a code point.
    return static_cast<size_t>(
        std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string cut(std::string_view text, size_t width) {
    if (display_width(text) <= width) return std::string(text);
    if (width == 0) return {};
    size_t end = 0;
    for (size_t columns = 1; columns < width; columns++)
        end += utf8_sequence(text.substr(end));
    return std::string(text.substr(0, end)) + "…";
}

}  // namespace tcptrail::encode
