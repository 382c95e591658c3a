// SPDX-License-Identifier: Apache-2.0
//
// The short form of a record: what the kernel side leaves out is there again, and what it shortens is as
// exact as it says.
#include "agent/capture/lean.h"

#include <sys/socket.h>

#include <cstring>
#include <span>

#include "agent/capture/decode.h"
#include "tests/catch.h"
#include "tests/unit/records.h"

using namespace tcptrail;
using tcptrail::tests::second_ns;

namespace {

constexpr uint64_t step = 1 << TCPTRAIL_LEAN_STEP_SHIFT;
constexpr uint8_t est = 1, fw1 = 4, fw2 = 5;

// Of a client, opened at 100 s and ended at 103 s.
tcptrail_lean client() {
    tcptrail_lean lean{};
    lean.version = TCPTRAIL_RECORD_VERSION;
    lean.size = sizeof lean;
    lean.ended_ns = 103 * second_ns;
    lean.cookie = 77;
    lean.opened_ns = 100 * second_ns;
    lean.role = TCPTRAIL_ROLE_CLIENT;
    lean.pid = 1234;
    lean.state = fw2;
    std::strcpy(lean.name, "curl");
    std::memcpy(lean.congestion, "dctcp-re", sizeof lean.congestion);  // as long as may be: not ended by 0
    lean.ssthresh = TCPTRAIL_LEAN_SSTHRESH_INFINITE;
    lean.busy_jiffies = 7;
    return lean;
}

tcptrail_record expanded(const tcptrail_lean& lean) {
    tcptrail_record record;
    std::memset(&record, 0xee, sizeof record);
    capture::expand(lean, record);
    return record;
}

}  // namespace

TEST_CASE("lean: what is left out follows from the rest", "[unit]") {
    const auto record = expanded(client());
    CHECK(record.size == sizeof record);
    CHECK(record.birth.family == AF_INET);
    CHECK(std::strcmp(record.birth.owner.actor.name, "curl") == 0);
    CHECK(std::strcmp(record.birth.thread_name, "curl") == 0);
    CHECK(std::strcmp(record.socket.congestion, "dctcp-re") == 0);
    CHECK(record.socket.ssthresh == 0x7fffffff);
    CHECK(record.birth.reset_ns == 0);
    CHECK(record.birth.accepted_ns == 0);
    tcptrail_trouble busy{};
    busy.chrono_jiffies[0] = 7;
    CHECK(std::memcmp(&record.trouble, &busy, sizeof busy) == 0);
    const tcptrail_details no_details{};
    CHECK(std::memcmp(&record.details, &no_details, sizeof no_details) == 0);
}

TEST_CASE("lean: early states count from the beginning, later ones from the end", "[unit]") {
    auto lean = client();
    lean.timeline_len = 3;
    lean.timeline_states = est | fw1 << 4 | fw2 << 8;
    lean.timeline_steps[0] = 4;
    lean.timeline_steps[1] = 3;
    lean.timeline_steps[2] = 0;
    lean.accepted_steps = ~0u;
    lean.reset_direction = TCPTRAIL_RESET_RECEIVED;
    lean.reset_steps = 2;
    const auto record = expanded(lean);
    REQUIRE(record.birth.timeline_len == 3);
    CHECK(record.birth.timeline[0] == ((4 * step) << 4 | est));
    CHECK(record.birth.timeline[1] == ((3 * second_ns - 3 * step) << 4 | fw1));
    CHECK(record.birth.timeline[2] == ((3 * second_ns) << 4 | fw2));
    CHECK(record.birth.timeline[3] == 0);
    CHECK(record.birth.accepted_ns == 100 * second_ns + 0xffffffffull * step);
    CHECK(record.birth.reset_ns == 103 * second_ns - 2 * step);
}

TEST_CASE("lean: it is decoded, and judged as the long form is", "[unit]") {
    auto lean = client();
    tcptrail_record room;
    const auto decoded = [&] { return capture::decode(std::as_bytes(std::span(&lean, 1)), room); };
    REQUIRE(decoded());
    CHECK(*decoded() == &room);
    SECTION("another version") {
        ++lean.version;
        CHECK(decoded().error().message == "a record of version 6 and size 208");
    }
    SECTION("a timeline that is too long") {
        lean.timeline_len = 5;
        CHECK(decoded().error().message == "a timeline that is too long");
    }
    SECTION("a state that there is not") {
        lean.timeline_len = 1;
        lean.timeline_states = 15;
        CHECK(decoded().error().message == "state 15 in the timeline");
    }
}
