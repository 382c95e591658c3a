// SPDX-License-Identifier: Apache-2.0
//
// The description of another agent's structures, as it is pinned beside its ring: what it says of a member is
// found there, and nothing else, wherever it is said to be.
#include "agent/capture/layout.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "tests/fuzz/target.h"

using tcptrail::capture::Translation;
using tests::fuzz::expect;

namespace {

struct Member {
    std::string_view name;
    size_t offset, bytes;
};
constexpr std::string_view structure = "tcptrail_record";
constexpr size_t own_bytes = 40;
constexpr Member own_members[] = {
    {".version", 0, 2}, {".size", 2, 2}, {".birth.cookie", 8, 8}, {".birth.name", 16, 16}};
constexpr const char* own =
    "tcptrail_record 40\n"
    "tcptrail_record.version 0 2\n"
    "tcptrail_record.size 2 2\n"
    "tcptrail_record.birth.cookie 8 8\n"
    "tcptrail_record.birth.name 16 16\n"
    "tcptrail_lean 8\n"
    "tcptrail_lean.version 0 8\n";
// Records and the values of maps are shorter; a description that does not fit them is refused there.
constexpr size_t longest = 64u << 10;

std::vector<std::string_view> split(std::string_view text, char by) {
    std::vector<std::string_view> parts;
    for (size_t end; (end = text.find(by)) != text.npos; text.remove_prefix(end + 1))
        parts.push_back(text.substr(0, end));
    parts.push_back(text);
    return parts;
}

std::optional<size_t> number(std::string_view text) {
    size_t value = 0;
    const bool digits = !text.empty() && text.find_first_not_of("0123456789") == text.npos;
    return digits && std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc()
               ? std::optional(value)
               : std::nullopt;
}

// Where a member is by that text; the last line counts.
std::optional<Member> told(std::string_view text, std::string_view name) {
    std::optional<Member> found;
    for (const std::string_view line : split(text, '\n')) {
        const auto words = split(line, ' ');
        if (words.size() != 3 || words[0] != std::string(structure) + std::string(name)) continue;
        const auto offset = number(words[1]), bytes = number(words[2]);
        if (offset && bytes) found = {name, *offset, *bytes};
    }
    return found;
}

std::vector<std::byte> numbered(size_t size) {
    std::vector<std::byte> bytes(size);
    for (size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<std::byte>(i % 251 + 1);
    return bytes;
}

void run(std::span<const uint8_t> input) {
    const std::string_view text = tests::fuzz::text_of(input);
    const auto there = Translation::make(structure, text, own),
               back = Translation::make(structure, own, text);
    expect(there.has_value() == back.has_value(), "a layout from which there is no way back");
    if (!there) {
        expect(!there.error().message.empty(), "an error without words");
        return;
    }
    expect(there->to_bytes() == own_bytes && there->from_bytes() > 0, "another size");
    expect(back->from_bytes() == own_bytes && back->to_bytes() == there->from_bytes(), "another size back");
    if (there->from_bytes() > longest) return;
    const auto theirs = numbered(there->from_bytes());
    std::vector<std::byte> ours(own_bytes, std::byte{0xff}), expected(own_bytes);
    there->apply(theirs, ours);
    for (const Member& member : own_members)
        if (const auto same = told(text, member.name))
            std::copy_n(theirs.begin() + static_cast<ptrdiff_t>(same->offset),
                        std::min(same->bytes, member.bytes),
                        expected.begin() + static_cast<ptrdiff_t>(member.offset));
    expect(ours == expected, "not what is told");
    std::vector<std::byte> returned(there->from_bytes(), std::byte{0xff});
    back->apply(ours, returned);
    if (text == own) expect(std::equal(ours.begin(), ours.begin() + 4, returned.begin()), "not itself");
}

std::vector<std::string> seeds() {
    return {
        own,
        "tcptrail_record 64\n"
        "tcptrail_record.version 0 4\n"
        "tcptrail_record.added 8 8\n"
        "tcptrail_record.birth.cookie 16 4\n"
        "tcptrail_record.birth.name 24 32\n",
        "tcptrail_lean 24\ntcptrail_lean.version 0 2\n",
        "tcptrail_record 8\ntcptrail_record.size 6 2\ntcptrail_record.version 18446744073709551615 2\n",
        "tcptrail_record 18446744073709551615\ntcptrail_record.birth.cookie 4096 8\n",
    };
}

const tests::fuzz::Register registered({"layout", run, seeds});

}  // namespace
