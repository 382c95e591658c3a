// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/detach.h"

#include <set>
#include <utility>

#include "agent/capture/pins.h"
#include "agent/capture/ring.h"

namespace tcptrail::capture {

Result<std::optional<Detached>> detach(const std::string& directory) {
    const auto pins = Pins::open_existing(directory);
    if (!pins) return std::unexpected(pins.error());
    if (!*pins) return std::nullopt;
    const auto generations = (*pins)->generations();
    for (const uint32_t generation : generations)
        (*pins)->remove_links(generation);
    Detached detached;
    std::set<uint32_t> counted;
    for (const uint32_t generation : generations) {
        Fd map = (*pins)->map(generation, "ring");
        if (!map.valid()) continue;
        const auto ring = Ring::open(std::move(map));
        if (!ring || !counted.insert((*ring)->id()).second) continue;
        while ((*ring)->next())
            ++detached.unread;
    }
    if (auto removed = (*pins)->remove_all(); !removed) return std::unexpected(removed.error());
    return detached;
}

}  // namespace tcptrail::capture
