// SPDX-License-Identifier: Apache-2.0
#include "agent/checkpoint.h"

#include <vector>

#include "tests/catch.h"

using tcptrail::Checkpoint;

namespace {

Checkpoint some() {
    Checkpoint checkpoint;
    checkpoint.set_run("11111111-2222-4333-8444-555555555555");
    checkpoint.place.position = 4711;
    checkpoint.sequence = 12;
    checkpoint.reports = 3;
    return checkpoint;
}

}  // namespace

TEST_CASE("checkpoint: what was written is read") {
    const Checkpoint written = some();
    const auto read = Checkpoint::parse(written.as_bytes());
    REQUIRE(read);
    CHECK(read->run() == "11111111-2222-4333-8444-555555555555");
    CHECK(read->place.position == 4711);
    CHECK(read->messages() == 15);
}

TEST_CASE("checkpoint: of a later version what is known is read, and of what is none nothing") {
    Checkpoint later = some();
    later.bytes = sizeof later + 16;
    const auto bytes = later.as_bytes();
    std::vector<std::byte> longer(bytes.begin(), bytes.end());
    CHECK(!Checkpoint::parse(longer));
    longer.resize(longer.size() + 16);
    const auto read = Checkpoint::parse(longer);
    REQUIRE(read);
    CHECK(read->sequence == 12);
    CHECK(read->bytes == sizeof later);

    CHECK(!Checkpoint::parse({}));
    CHECK(!Checkpoint::parse(std::vector<std::byte>(sizeof(Checkpoint))));
    Checkpoint endless = some();
    endless.run_id.fill('1');
    CHECK(!Checkpoint::parse(endless.as_bytes()));
}

TEST_CASE("checkpoint: of an earlier version what it did not know is nothing") {
    Checkpoint earlier = some();
    earlier.overflow = 99;
    earlier.bytes = 128;  // the overflow came later
    const auto read = Checkpoint::parse(earlier.as_bytes().first(128));
    REQUIRE(read);
    CHECK(read->sequence == 12);
    CHECK(read->overflow == 0);
}

TEST_CASE("checkpoint: the one that is behind") {
    const Checkpoint earlier = some();
    Checkpoint later = some();
    CHECK(!earlier.is_behind(later));
    later.reports++;
    CHECK(earlier.is_behind(later));
    CHECK(!later.is_behind(earlier));
}
