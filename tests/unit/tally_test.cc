// SPDX-License-Identifier: Apache-2.0
#include "agent/connections/tally.h"

#include <sys/socket.h>

#include <algorithm>

#include "agent/connections/connections.h"
#include "tests/catch.h"
#include "tests/unit/records.h"

using namespace tcptrail;
using namespace tcptrail::tests;
using connections::Tally;

namespace {

constexpr uint32_t home = 4026531840;

connections::Connection ended(const tcptrail_record& record) {
    return connections::connection_of(record, {1000, {}}, 0);
}

tcptrail_record closed_client() {
    auto record = make_record(TCPTRAIL_ROLE_CLIENT);
    walk(record, {2, 1, 4, 5, 7});
    return record;
}

tcptrail_open open_client(uint32_t flags = 0) {
    const tcptrail_record record = make_record(TCPTRAIL_ROLE_CLIENT);
    tcptrail_open open{};
    std::copy(std::begin(record.birth.remote), std::end(record.birth.remote), open.remote);
    open.netns = record.birth.netns;
    open.remote_port = record.birth.remote_port;
    open.family = AF_INET;
    open.flags = flags;
    open.role = TCPTRAIL_ROLE_CLIENT;
    return open;
}

}  // namespace

TEST_CASE("tally: lifecycles are what the kernel counts as opens", "[unit]") {
    Tally tally;
    CHECK(tally.lifecycles(home) == 0);
    tally.add(ended(closed_client()), second_ns);
    tally.add(ended(make_record(TCPTRAIL_ROLE_SERVER)), second_ns);
    CHECK(tally.lifecycles(home) == 2);
    SECTION("not one that was open before the capture") {
        auto record = closed_client();
        record.birth.flags |= TCPTRAIL_BIRTH_ADOPTED;
        tally.add(ended(record), second_ns);
        tally.add_open(open_client(TCPTRAIL_BIRTH_ADOPTED));
        CHECK(tally.lifecycles(home) == 2);
    }
    SECTION("not an attempt without a SYN") {
        auto record = make_record(TCPTRAIL_ROLE_CLIENT);
        record.socket.segments_out = 0;
        walk(record, {2, 7});
        tally.add(ended(record), second_ns);
        record.flags |= TCPTRAIL_RECORD_NO_SYN;
        tally.add(ended(record), second_ns);
        CHECK(tally.lifecycles(home) == 2);
    }
    SECTION("not one whose beginning was missed") {
        auto record = closed_client();
        record.birth.flags |= TCPTRAIL_BIRTH_MISSED;
        tally.add(ended(record), second_ns);
        CHECK(tally.lifecycles(home) == 2);
    }
    SECTION("one whose end was missed") {
        auto record = make_record(TCPTRAIL_ROLE_CLIENT);
        record.flags |= TCPTRAIL_RECORD_END_MISSED;
        record.socket = {};
        tally.add(ended(record), second_ns);
        CHECK(tally.lifecycles(home) == 3);
    }
    SECTION("those that are open, until they are looked at again") {
        tally.add_open(open_client());
        tally.add_open(open_client());
        CHECK(tally.lifecycles(home) == 4);
        tally.clear_open();
        CHECK(tally.lifecycles(home) == 2);
    }
    SECTION("not twice for progress") {
        auto record = closed_client();
        record.flags |= TCPTRAIL_RECORD_PROGRESS;
        tally.add(ended(record), second_ns);
        CHECK(tally.lifecycles(home) == 2);
    }
    SECTION("each namespace for itself") {
        auto record = closed_client();
        record.birth.netns = 7;
        tally.add(ended(record), second_ns);
        CHECK(tally.lifecycles(7) == 1);
        tally.keep_only({home});
        CHECK(tally.lifecycles(7) == 0);
        CHECK(tally.lifecycles(home) == 2);
    }
}

TEST_CASE("tally: a destination is used while it is open and for a minute after our close", "[unit]") {
    Tally tally;
    const uint64_t now = 1000 * second_ns;
    tally.add_open(open_client());
    tally.add_open(open_client(TCPTRAIL_BIRTH_ADOPTED));
    tally.add(ended(closed_client()), now);
    // The other side closed first: it holds TIME_WAIT.
    auto remote = make_record(TCPTRAIL_ROLE_CLIENT);
    walk(remote, {2, 1, 8, 9, 7});
    tally.add(ended(remote), now);

    auto uses = tally.destinations(now);
    REQUIRE(uses.size() == 1);
    CHECK(uses[0].destination.netns == home);
    CHECK(uses[0].destination.remote.port == 80);
    CHECK_FALSE(uses[0].destination.ipv6);
    CHECK(uses[0].open == 2);
    CHECK(uses[0].time_wait == 1);

    CHECK(tally.destinations(now + 54 * second_ns)[0].time_wait == 1);
    CHECK(tally.destinations(now + 60 * second_ns)[0].time_wait == 0);

    // An IPv4-mapped address is the IPv4 one.
    auto mapped = open_client();
    mapped.family = AF_INET6;
    std::fill(std::begin(mapped.remote), std::end(mapped.remote), uint8_t{0});
    mapped.remote[10] = mapped.remote[11] = 0xff;
    const uint8_t address[] = {10, 0, 0, 2};
    std::copy(std::begin(address), std::end(address), mapped.remote + 12);
    tally.add_open(mapped);
    uses = tally.destinations(now);
    REQUIRE(uses.size() == 1);
    CHECK(uses[0].open == 3);
}

TEST_CASE("tally: memory is bounded", "[unit]") {
    Tally tally;
    auto open = open_client();
    for (uint32_t i = 0; i < 50'000; ++i) {
        open.remote_port = static_cast<uint16_t>(i);
        open.remote[3] = static_cast<uint8_t>(i >> 16);
        tally.add_open(open);
    }
    CHECK(tally.destinations(0).size() == 16384);
    CHECK(tally.lifecycles(home) == 50'000);
}
