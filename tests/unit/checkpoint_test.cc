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

// As a mark that is committed.
Checkpoint at(uint64_t messages) {
    Checkpoint checkpoint = some();
    checkpoint.sequence = messages - checkpoint.reports;
    checkpoint.place.received = checkpoint.sequence;
    checkpoint.kept = checkpoint.marked = messages;
    return checkpoint;
}

// As a note of the kernel's.
Checkpoint given_up(uint64_t messages, uint64_t kept, uint64_t marked) {
    Checkpoint checkpoint = at(messages);
    checkpoint.kept = kept;
    checkpoint.marked = marked;
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

TEST_CASE("checkpoint: counts that no run comes to are of none") {
    Checkpoint damaged = some();
    uint64_t& count = *GENERATE_REF(&damaged.sequence, &damaged.reports, &damaged.lost_with_memory);
    count = ~uint64_t{0};
    CHECK(!Checkpoint::parse(damaged.as_bytes()));
    count = 1u << 20;
    CHECK(Checkpoint::parse(damaged.as_bytes()));
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

TEST_CASE(
    "checkpoint: of an earlier version what the mark has not is lost, and without a mark nothing is known") {
    Checkpoint earlier = at(15);
    earlier.bytes = 136;
    const auto note = Checkpoint::parse(earlier.as_bytes().first(136));
    REQUIRE(note);
    CHECK(Checkpoint::after(note, std::nullopt)->lost_with_memory == 0);
    CHECK(Checkpoint::after(note, at(4))->lost_with_memory == 11);
}

TEST_CASE("checkpoint: what was in memory when the agent was killed is counted with a mark and without one") {
    CHECK(!Checkpoint::after(std::nullopt, std::nullopt));
    const Checkpoint note = given_up(100, 30, 30);
    const auto without = Checkpoint::after(note, std::nullopt);
    REQUIRE(without);
    CHECK(without->messages() == 100);
    CHECK(without->lost_with_memory == 70);
    CHECK(without->kept == 100);
    CHECK(without->marked == 30);
    CHECK(Checkpoint::after(note, at(30))->lost_with_memory == 70);
    // A commit that the note does not know of yet.
    CHECK(Checkpoint::after(note, at(60))->lost_with_memory == 40);
    // What Kafka got from memory is kept, and has moved no mark.
    CHECK(Checkpoint::after(given_up(100, 90, 30), at(30))->lost_with_memory == 10);
    CHECK(Checkpoint::after(given_up(100, 90, 30), std::nullopt)->lost_with_memory == 10);
    // The mark is further: all is kept.
    const auto further = Checkpoint::after(note, at(110));
    CHECK(further->messages() == 110);
    CHECK(further->lost_with_memory == 0);
    CHECK(Checkpoint::after(std::nullopt, at(110))->messages() == 110);
}

TEST_CASE("checkpoint: agents that are killed one after the other count nothing twice") {
    // The mark stays where it was, as the disk takes nothing.
    const Checkpoint mark = at(10);
    Checkpoint base = mark;
    for (uint64_t killed_at = 20; killed_at <= 200; killed_at += 30) {
        Checkpoint note = at(killed_at);
        note.lost_with_memory = base.lost_with_memory;
        note.kept = base.kept;
        note.marked = base.marked;
        const bool is_readable = killed_at % 20 == 0;
        const auto next = Checkpoint::after(note, is_readable ? std::optional(mark) : std::nullopt);
        REQUIRE(next);
        CHECK(next->lost_with_memory == killed_at - 10);
        CHECK(next->lost_with_memory <= next->messages());
        base = *next;
    }
    // Killed before it could say so: found once more.
    CHECK(Checkpoint::after(base, mark)->lost_with_memory == base.lost_with_memory);
    // The mark that tells of it was committed, and the note not written.
    Checkpoint note = base;
    note.lost_with_memory = 0;
    CHECK(Checkpoint::after(note, base)->lost_with_memory == base.lost_with_memory);
}

TEST_CASE("checkpoint: a disk that lost what was committed") {
    Checkpoint mark = at(40);
    mark.lost_with_memory = 3;
    Checkpoint note = given_up(100, 80, 80);
    note.lost_with_memory = 5;
    CHECK(Checkpoint::after(note, mark)->lost_with_memory == 63);
    // Found by an agent that could not read the file: no less afterwards, and not once more.
    const auto blind = Checkpoint::after(note, std::nullopt);
    CHECK(blind->lost_with_memory == 25);
    const auto seen = Checkpoint::after(blind, mark);
    CHECK(seen->lost_with_memory == 63);
    CHECK(Checkpoint::after(seen, mark)->lost_with_memory == 63);
}

TEST_CASE("checkpoint: what an earlier version counted twice is no more than there is") {
    Checkpoint note = given_up(100, 30, 30);
    note.lost_with_memory = 90;
    CHECK(Checkpoint::after(note, at(30))->lost_with_memory == 100);
}

TEST_CASE("checkpoint: the one that is behind") {
    const Checkpoint earlier = some();
    Checkpoint later = some();
    CHECK(!earlier.is_behind(later));
    later.reports++;
    CHECK(earlier.is_behind(later));
    CHECK(!later.is_behind(earlier));
}
