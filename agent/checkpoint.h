// SPDX-License-Identifier: Apache-2.0
//
// How far a run has come: what the spool stores with the events, and the pinned control map with each release
// of the ring, so that the agent after this one goes on with the same run_id and the next sequence number.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

#include "agent/capture/capture.h"
#include "bpf/abi/control.h"

namespace tcptrail {

// Passive, and written as it lies in memory: members are only ever added, at the end.
struct Checkpoint {
    uint32_t bytes = sizeof(Checkpoint);  // of the writer's version
    uint32_t starts = 1;                  // of agents in this run
    std::array<char, 40> run_id{};        // zero-terminated
    capture::Place place;
    uint64_t sequence = 0;  // of the last event
    uint64_t progress = 0;  // how many of the events were of open connections, and so not from the ring
    uint64_t reports = 0;   // sequence of the last report
    uint64_t lost_with_memory =
        0;                  // events and reports that waited in memory for the disk when an agent was killed
    uint64_t overflow = 0;  // goes with place: the first place of the overflow that was not read
    // Of messages(), those up to here outlive the process: the spool's file or Kafka has them, or they are
    // counted as lost. In the spool's mark it is all of them, as they are in the same transaction.
    uint64_t kept = 0;
    // messages() of the mark that the spool's file had then: one with an earlier mark has lost what it had.
    uint64_t marked = 0;

    std::string run() const { return {run_id.data()}; }
    void set_run(const std::string& id) { id.copy(run_id.data(), run_id.size() - 1); }
    uint64_t messages() const { return sequence + reports; }
    bool is_behind(const Checkpoint& other) const {
        return messages() < other.messages() || place.received < other.place.received;
    }

    std::span<const std::byte> as_bytes() const { return std::as_bytes(std::span(this, 1)); }
    // Of this or another version. Nothing where it is none.
    static std::optional<Checkpoint> parse(std::span<const std::byte> bytes);

    // What the agent after this one goes on from, which was killed: the kernel's note or the spool's mark,
    // both of this run, whichever is further. What the note has given up in the ring and nothing has kept is
    // counted in lost_with_memory. Nothing where there is neither.
    static std::optional<Checkpoint> after(const std::optional<Checkpoint>& note,
                                           const std::optional<Checkpoint>& mark);
};
static_assert(std::is_trivially_copyable_v<Checkpoint>);
static_assert(sizeof(Checkpoint) == 152 && sizeof(Checkpoint) <= TCPTRAIL_NOTE_LEN);

}  // namespace tcptrail
