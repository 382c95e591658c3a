// SPDX-License-Identifier: Apache-2.0
//
// What an agent that was killed has left: the note in the pinned control map and the spool's mark, of any
// version. What goes on from them has lost no less than either knows of, and no more than there is.
#include "agent/checkpoint.h"

#include <algorithm>

#include "tests/fuzz/target.h"

using namespace tcptrail;
using tests::fuzz::expect;

namespace {

bool is_same(const Checkpoint& one, const Checkpoint& other) {
    return std::ranges::equal(one.as_bytes(), other.as_bytes());
}

std::optional<Checkpoint> parsed(std::span<const uint8_t> bytes) {
    const auto checkpoint = Checkpoint::parse(std::as_bytes(bytes));
    if (!checkpoint) return std::nullopt;
    expect(!checkpoint->run().empty() && checkpoint->run().size() < checkpoint->run_id.size(), "no run");
    expect(checkpoint->messages() >= checkpoint->sequence, "more messages than can be counted");
    const auto again = Checkpoint::parse(checkpoint->as_bytes());
    expect(again && is_same(*again, *checkpoint), "read as something else");
    // What lies behind it is none of it.
    std::vector<uint8_t> longer(bytes.begin(), bytes.end());
    longer.resize(longer.size() + 8, 0xff);
    const auto same = Checkpoint::parse(std::as_bytes(std::span(longer)));
    expect(same && is_same(*same, *checkpoint), "more than it was read");
    return checkpoint;
}

void check_next(const Checkpoint& next, const std::optional<Checkpoint>& note,
                const std::optional<Checkpoint>& mark) {
    const uint64_t messages = next.messages();
    expect((note && next.run_id == note->run_id) || (mark && next.run_id == mark->run_id), "another's run");
    expect(next.kept == messages, "what is counted as lost is not done with");
    expect(next.lost_with_memory <= messages, "more is lost than there was");
    for (const auto* known : {&note, &mark})
        if (*known)
            expect(next.lost_with_memory >= std::min((*known)->lost_with_memory, messages),
                   "less is lost than was");
    const bool is_notes = note && !(mark && note->is_behind(*mark));
    const Checkpoint& from = is_notes ? *note : *mark;
    expect(messages == from.messages() && next.place.position == from.place.position &&
               next.overflow == from.overflow,
           "another place than was come to");
    if (is_notes) {
        const uint64_t kept = std::min(messages, std::max(note->kept, mark ? mark->messages() : 0));
        expect(next.lost_with_memory >= messages - kept, "what nothing has kept is not lost");
    }
    // Killed before it could say so: nothing is counted twice.
    const auto again = Checkpoint::after(next, mark);
    expect(again && again->lost_with_memory == next.lost_with_memory && again->messages() == messages,
           "counted twice");
}

// The note, which is as long as its room, and then the mark.
void run(std::span<const uint8_t> input) {
    const size_t length = std::min<size_t>(input.size(), TCPTRAIL_NOTE_LEN);
    const auto note = parsed(input.first(length)), mark = parsed(input.subspan(length));
    for (const auto& one : {note, std::optional<Checkpoint>()})
        for (const auto& other : {mark, std::optional<Checkpoint>()}) {
            const auto next = Checkpoint::after(one, other);
            expect(next.has_value() == (one || other), "nothing is known, or something");
            if (next) check_next(*next, one, other);
        }
}

std::string bytes_of(const Checkpoint& checkpoint, size_t length) {
    const auto bytes = checkpoint.as_bytes();
    std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    text.resize(length);
    return text;
}

std::vector<std::string> seeds() {
    Checkpoint mark;
    mark.set_run("11111111-2222-4333-8444-555555555555");
    mark.place = {.position = 4096,
                  .ring = 7,
                  .pad = 0,
                  .received = 80,
                  .malformed = 1,
                  .walked = 3,
                  .walked_malformed = 0};
    mark.sequence = 80;
    mark.reports = 2;
    mark.kept = mark.marked = mark.messages();
    Checkpoint note = mark;
    note.place.received = note.sequence = 120;
    note.lost_with_memory = 5;
    note.kept = 100;
    Checkpoint earlier = note;
    earlier.bytes = 128;
    Checkpoint later = note;
    later.bytes = sizeof later + 16;
    const std::string marked = bytes_of(mark, sizeof mark);
    return {
        bytes_of(note, TCPTRAIL_NOTE_LEN) + marked,
        bytes_of(earlier, TCPTRAIL_NOTE_LEN) + marked,
        bytes_of(later, TCPTRAIL_NOTE_LEN) + bytes_of(earlier, 128),
        bytes_of(mark, TCPTRAIL_NOTE_LEN) + bytes_of(note, sizeof note),
        std::string(TCPTRAIL_NOTE_LEN, '\0') + marked,
        bytes_of(note, TCPTRAIL_NOTE_LEN),
    };
}

const tests::fuzz::Register registered({"checkpoint", run, seeds});

}  // namespace
