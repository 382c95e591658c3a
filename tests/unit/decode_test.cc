// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/decode.h"

#include <array>
#include <cstddef>
#include <cstring>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "agent/connections/connections.h"
#include "agent/encode/event.h"
#include "bpf/abi/lean.h"
#include "tests/catch.h"
#include "tests/unit/records.h"

using namespace tcptrail;
using tcptrail::tests::make_record;
using tcptrail::tests::walk;

namespace {

// Ring content: aligned as the kernel aligns it, and with room to be too long.
struct alignas(8) Bytes {
    std::array<std::byte, sizeof(tcptrail_record) + 64> data{};
    size_t size = sizeof(tcptrail_record);

    explicit Bytes(const tcptrail_record& record) { std::memcpy(data.data(), &record, sizeof record); }
    std::span<const std::byte> span() const { return {data.data(), size}; }
};

tcptrail_record ended_client() {
    auto record = make_record(TCPTRAIL_ROLE_CLIENT);
    walk(record, {2, 1, 4, 5, 7});
    return record;
}

std::string problem_of(const tcptrail_record& record) {
    const Bytes bytes(record);
    tcptrail_record room;
    const auto decoded = capture::decode(bytes.span(), room);
    return decoded ? "" : decoded.error().message;
}

}  // namespace

// has_unique_object_representations: every bit belongs to a member. A hole would be written by nobody, and
// would carry kernel memory to the user side.
TEST_CASE("abi: no struct has a hole besides its named pads", "[unit]") {
    STATIC_REQUIRE(std::has_unique_object_representations_v<tcptrail_actor>);
    STATIC_REQUIRE(std::has_unique_object_representations_v<tcptrail_owner>);
    STATIC_REQUIRE(std::has_unique_object_representations_v<tcptrail_addresses>);
    STATIC_REQUIRE(std::has_unique_object_representations_v<tcptrail_birth>);
    STATIC_REQUIRE(std::has_unique_object_representations_v<tcptrail_details>);
    STATIC_REQUIRE(std::has_unique_object_representations_v<tcptrail_trouble>);
    STATIC_REQUIRE(std::has_unique_object_representations_v<tcptrail_lean>);
    STATIC_REQUIRE(std::is_trivially_copyable_v<tcptrail_record>);
    STATIC_REQUIRE(sizeof(tcptrail_record) % 8 == 0);  // the ring aligns records to 8
    STATIC_REQUIRE(alignof(tcptrail_record) == 8);
}

// Whoever changes one of these changes the layout, and has to change TCPTRAIL_RECORD_VERSION.
TEST_CASE("abi: version 5 has this layout", "[unit]") {
    STATIC_REQUIRE(TCPTRAIL_RECORD_VERSION == 5);

    STATIC_REQUIRE(offsetof(tcptrail_owner, start_ns) == 8);
    STATIC_REQUIRE(offsetof(tcptrail_owner, actor) == 16);

    STATIC_REQUIRE(offsetof(tcptrail_addresses, remote) == 16);
    STATIC_REQUIRE(offsetof(tcptrail_addresses, local_port) == 32);
    STATIC_REQUIRE(offsetof(tcptrail_addresses, family) == 36);
    STATIC_REQUIRE(offsetof(tcptrail_addresses, pad) == 38);
    STATIC_REQUIRE(offsetof(tcptrail_addresses, ifindex) == 44);

    STATIC_REQUIRE(offsetof(tcptrail_birth, accepted_ns) == 16);
    STATIC_REQUIRE(offsetof(tcptrail_birth, timeline) == 40);
    STATIC_REQUIRE(offsetof(tcptrail_birth, owner) == 72);
    STATIC_REQUIRE(offsetof(tcptrail_birth, local) == 112);
    STATIC_REQUIRE(offsetof(tcptrail_birth, netns) == 124);
    STATIC_REQUIRE(offsetof(tcptrail_birth, flags) == 142);
    STATIC_REQUIRE(offsetof(tcptrail_birth, timeline_len) == 148);
    STATIC_REQUIRE(offsetof(tcptrail_birth, taken_over) == 151);
    STATIC_REQUIRE(offsetof(tcptrail_birth, thread_name) == 152);
    STATIC_REQUIRE(offsetof(tcptrail_birth, remote_rest) == 180);

    STATIC_REQUIRE(offsetof(tcptrail_details, ended_by_pid) == 36);

    STATIC_REQUIRE(offsetof(tcptrail_socket, segments_out) == 32);
    STATIC_REQUIRE(offsetof(tcptrail_socket, quiet_jiffies) == 72);
    STATIC_REQUIRE(offsetof(tcptrail_socket, congestion) == 92);

    STATIC_REQUIRE(offsetof(tcptrail_trouble, chrono_jiffies) == 52);

    STATIC_REQUIRE(offsetof(tcptrail_record, flags) == 4);
    STATIC_REQUIRE(offsetof(tcptrail_record, ended_ns) == 8);
    STATIC_REQUIRE(offsetof(tcptrail_record, socket) == 16);
    STATIC_REQUIRE(offsetof(tcptrail_record, birth) == 128);
    STATIC_REQUIRE(offsetof(tcptrail_record, details) == 320);
    STATIC_REQUIRE(offsetof(tcptrail_record, trouble) == 376);

    STATIC_REQUIRE(offsetof(tcptrail_lean, ended_ns) == 8);
    STATIC_REQUIRE(offsetof(tcptrail_lean, timeline_steps) == 88);
    STATIC_REQUIRE(offsetof(tcptrail_lean, keepalive_idle_jiffies) == 152);
    STATIC_REQUIRE(offsetof(tcptrail_lean, reset_reason) == 186);
    STATIC_REQUIRE(offsetof(tcptrail_lean, congestion) == 196);
}

TEST_CASE("decode: a record is found in place", "[unit]") {
    const auto record = ended_client();
    const Bytes bytes(record);
    tcptrail_record room;
    const auto decoded = capture::decode(bytes.span(), room);
    REQUIRE(decoded);
    CHECK(static_cast<const void*>(*decoded) == bytes.data.data());
    CHECK(std::memcmp(*decoded, &record, sizeof record) == 0);
}

TEST_CASE("decode: any other size is refused", "[unit]") {
    Bytes bytes(ended_client());
    tcptrail_record room;
    for (size_t size = 0; size <= bytes.data.size(); ++size) {
        if (size == sizeof(tcptrail_record) || size == sizeof(tcptrail_lean)) continue;
        bytes.size = size;
        INFO(size);
        REQUIRE_FALSE(capture::decode(bytes.span(), room));
    }
    CHECK_FALSE(capture::decode({}, room));
}

TEST_CASE("decode: misaligned content is refused", "[unit]") {
    Bytes bytes(ended_client());
    tcptrail_record room;
    for (size_t shift = 1; shift < 8; ++shift) {
        std::memmove(bytes.data.data() + shift, bytes.data.data() + shift - 1, sizeof(tcptrail_record));
        REQUIRE_FALSE(capture::decode({bytes.data.data() + shift, sizeof(tcptrail_record)}, room));
    }
}

TEST_CASE("decode: what the ABI does not allow is refused", "[unit]") {
    auto record = ended_client();
    REQUIRE(problem_of(record).empty());
    SECTION("version") {
        record.version = TCPTRAIL_RECORD_VERSION + 1;
        CHECK(problem_of(record) == "a record of version 6 and size 448");
        record.version = 0;
        CHECK_FALSE(problem_of(record).empty());
    }
    SECTION("size") {
        record.size = sizeof record - 8;
        CHECK(problem_of(record) == "a record of version 5 and size 440");
    }
    SECTION("timeline") {
        record.birth.timeline_len = TCPTRAIL_TIMELINE_LEN;
        CHECK(problem_of(record).empty());
        record.birth.timeline_len = TCPTRAIL_TIMELINE_LEN + 1;
        CHECK_FALSE(problem_of(record).empty());
        record.birth.timeline_len = 0xff;
        CHECK_FALSE(problem_of(record).empty());
    }
    SECTION("role") {
        record.birth.role = TCPTRAIL_ROLE_UNKNOWN;
        CHECK(problem_of(record).empty());
        record.birth.role = TCPTRAIL_ROLE_SERVER + 1;
        CHECK_FALSE(problem_of(record).empty());
    }
    SECTION("source of the owner") {
        record.birth.owner_source = TCPTRAIL_OWNER_SCAN;
        CHECK(problem_of(record).empty());
        record.birth.owner_source = TCPTRAIL_OWNER_SCAN + 1;
        CHECK_FALSE(problem_of(record).empty());
    }
    SECTION("states") {
        record.birth.state = 13;
        CHECK(problem_of(record) == "state 13");
        record.birth.state = 7;
        record.birth.reset_state = 200;
        CHECK(problem_of(record) == "state of reset 200");
        record.birth.reset_state = 0;
        record.birth.timeline[record.birth.timeline_len++] = 15;
        CHECK(problem_of(record) == "state 15 in the timeline");
    }
    SECTION("direction of the reset") {
        record.birth.reset_direction = TCPTRAIL_RESET_RECEIVED + 1;
        CHECK_FALSE(problem_of(record).empty());
    }
    SECTION("family") {
        record.birth.family = AF_INET6;
        CHECK(problem_of(record).empty());
        record.birth.family = 0;  // the addresses are not known
        CHECK(problem_of(record).empty());
        record.birth.family = AF_UNIX;
        CHECK(problem_of(record) == "address family 1");
    }
}

// Torn, stale and foreign bytes: refused, or harmless to all stages behind decode(). Run with sanitizers,
// it also shows that no stage reads beyond the record.
TEST_CASE("decode: garbage is refused or does no harm", "[unit]") {
    constexpr uint64_t seed = 20240229;
    std::mt19937_64 random(seed);
    const connections::Kernel kernel{250, {"NOT_SPECIFIED", "NO_SOCKET"}};
    encode::EventEncoder encoder({"host", "node", "boot", "run", "6.1"});
    size_t accepted = 0, refused = 0;
    for (int round = 0; round < 20000; ++round) {
        auto record = make_record(static_cast<uint8_t>(random() % 3));
        walk(record, {2, 1});
        Bytes bytes(record);
        if (round % 4 == 0) {  // nothing of it is right
            for (std::byte& byte : bytes.data)
                byte = static_cast<std::byte>(random());
        } else {
            for (uint64_t flips = 1 + random() % 24; flips > 0; --flips)
                bytes.data[random() % sizeof record] = static_cast<std::byte>(random());
        }
        if (round % 5 == 0) bytes.size = random() % bytes.data.size();
        INFO("seed " << seed << " round " << round);
        tcptrail_record room;
        const auto decoded = capture::decode(bytes.span(), room);
        if (!decoded) {
            ++refused;
            REQUIRE_FALSE(decoded.error().message.empty());
            continue;
        }
        ++accepted;
        const tcptrail_record& r = **decoded;
        REQUIRE((bytes.size == sizeof record || bytes.size == sizeof(tcptrail_lean)));
        REQUIRE(r.version == TCPTRAIL_RECORD_VERSION);
        REQUIRE(r.size == sizeof record);
        REQUIRE(r.birth.timeline_len <= TCPTRAIL_TIMELINE_LEN);
        REQUIRE(r.birth.role <= TCPTRAIL_ROLE_SERVER);
        REQUIRE(r.birth.owner_source <= TCPTRAIL_OWNER_SCAN);
        REQUIRE(r.birth.reset_direction <= TCPTRAIL_RESET_RECEIVED);
        const auto connection = connections::connection_of(r, kernel, 0);
        REQUIRE(connection.timeline_size <= r.birth.timeline_len + 2u);
        REQUIRE(connection.owner.name.size() <= TCPTRAIL_NAME_LEN);
        const Message& message = encoder.encode_message(connection, {}, 1);
        v1::ConnectionEvent back;
        REQUIRE(back.ParseFromString(message.value));  // refuses strings that are not UTF-8
        REQUIRE(encode::to_message(back).value == message.value);
        REQUIRE(encode::to_message(back).key == message.key);
    }
    // Both must have been tried.
    CHECK(accepted > 1000);
    CHECK(refused > 1000);
}
