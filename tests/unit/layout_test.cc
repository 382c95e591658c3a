// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/layout.h"

#include <cstring>
#include <vector>

#include "tests/catch.h"

using tcptrail::capture::Translation;

namespace {

constexpr const char* from =
    "tcptrail_record 32\n"
    "tcptrail_record.version 0 2\n"
    "tcptrail_record.birth.cookie 8 8\n"
    "tcptrail_record.birth.name 16 4\n"
    "tcptrail_record.gone 24 8\n"
    "tcptrail_record_of_another_kind 8\n";
constexpr const char* to =
    "tcptrail_record 40\n"
    "tcptrail_record.version 0 4\n"
    "tcptrail_record.added 8 8\n"
    "tcptrail_record.birth.cookie 16 8\n"
    "tcptrail_record.birth.name 24 8\n";

template <class Value>
Value at(const std::vector<std::byte>& bytes, size_t offset) {
    Value value;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

}  // namespace

TEST_CASE("layout: members are found by name, wherever they are") {
    const auto translation = Translation::make("tcptrail_record", from, to);
    REQUIRE(translation);
    CHECK(translation->from_bytes() == 32);
    CHECK(translation->to_bytes() == 40);
    std::vector<std::byte> old(32), ours(40, std::byte{0xff});
    const uint16_t version = 7;
    const uint64_t cookie = 0x1122334455667788, gone = ~0ull;
    std::memcpy(old.data(), &version, sizeof version);
    std::memcpy(old.data() + 8, &cookie, sizeof cookie);
    std::memcpy(old.data() + 16, "curl", 4);
    std::memcpy(old.data() + 24, &gone, sizeof gone);
    translation->apply(old, ours);
    CHECK(at<uint32_t>(ours, 0) == 7);
    CHECK(at<uint64_t>(ours, 8) == 0);
    CHECK(at<uint64_t>(ours, 16) == cookie);
    CHECK(std::memcmp(ours.data() + 24, "curl\0\0\0\0", 8) == 0);
    CHECK(at<uint64_t>(ours, 32) == 0);
}

TEST_CASE("layout: the way back drops what is not there") {
    const auto back = Translation::make("tcptrail_record", to, from);
    REQUIRE(back);
    std::vector<std::byte> theirs(40, std::byte{0xee}), ours(32);
    back->apply(theirs, ours);
    CHECK(at<uint64_t>(ours, 24) == 0);
    CHECK(at<uint16_t>(ours, 0) == 0xeeee);
}

TEST_CASE("layout: what cannot be is refused") {
    CHECK(!Translation::make("tcptrail_birth", from, to));
    CHECK(!Translation::make("tcptrail_record", "", to));
    CHECK(!Translation::make("tcptrail_record", "tcptrail_record 8\ntcptrail_record.a 4 8\n", to));
    CHECK(!Translation::make("tcptrail_record",
                             "tcptrail_record 8\ntcptrail_record.a 18446744073709551612 8\n", to));
    CHECK(!Translation::make("tcptrail_record", "tcptrail_record eight\n", to));
    // Cut in the middle of a line: that member is missing.
    const auto cut = Translation::make("tcptrail_record", "tcptrail_record 8\ntcptrail_record.version 0", to);
    REQUIRE(cut);
}
