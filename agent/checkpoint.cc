// SPDX-License-Identifier: Apache-2.0
#include "agent/checkpoint.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace tcptrail {

namespace {

constexpr size_t first_version_bytes = 128;
constexpr size_t first_version_with_kept = offsetof(Checkpoint, marked) + sizeof(Checkpoint::marked);
// No run comes near it, and sums of a few do not wrap.
constexpr uint64_t most_messages = uint64_t{1} << 60;

}  // namespace

std::optional<Checkpoint> Checkpoint::parse(std::span<const std::byte> bytes) {
    uint32_t written = 0;
    if (bytes.size() < sizeof written) return std::nullopt;
    std::memcpy(&written, bytes.data(), sizeof written);
    if (written < first_version_bytes || written > bytes.size()) return std::nullopt;
    Checkpoint checkpoint;
    std::memcpy(&checkpoint, bytes.data(), std::min<size_t>(written, sizeof checkpoint));
    checkpoint.bytes = sizeof checkpoint;
    // An earlier version says nothing of it: what the spool's mark has not is taken as lost, and only that.
    if (written < first_version_with_kept) checkpoint.kept = checkpoint.marked = checkpoint.messages();
    for (const uint64_t count : {checkpoint.sequence, checkpoint.reports, checkpoint.lost_with_memory})
        if (count > most_messages) return std::nullopt;
    if (checkpoint.run_id.front() == '\0' || checkpoint.run_id.back() != '\0') return std::nullopt;
    return checkpoint;
}

std::optional<Checkpoint> Checkpoint::after(const std::optional<Checkpoint>& note,
                                            const std::optional<Checkpoint>& mark) {
    if (!note && !mark) return std::nullopt;
    Checkpoint next = !note || (mark && note->is_behind(*mark)) ? *mark : *note;
    const uint64_t messages = next.messages();
    uint64_t lost = next.lost_with_memory;
    // Where the mark is further all is kept.
    if (note) lost = std::max(lost, note->lost_with_memory);
    if (note && !(mark && note->is_behind(*mark))) {
        const uint64_t kept = std::max(note->kept, mark ? mark->messages() : 0);
        lost += messages - std::min(kept, messages);
        if (mark) {
            lost = std::max(lost, mark->lost_with_memory);
            // The disk has lost what was committed and not synced: all that came after this mark may be gone.
            if (mark->messages() < note->marked)
                lost = std::max(lost, mark->lost_with_memory + messages - mark->messages());
        }
    }
    if (mark) next.marked = mark->messages();
    next.lost_with_memory = std::min(lost, messages);
    next.kept = messages;
    return next;
}

}  // namespace tcptrail
