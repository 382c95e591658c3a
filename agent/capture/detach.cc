// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/detach.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <set>
#include <utility>

#include "agent/capture/pins.h"
#include "agent/capture/ring.h"

namespace tcptrail::capture {

namespace {

// Of a map that is not among the known ones.
uint64_t count_elements(int map, std::set<uint32_t>& known) {
    bpf_map_info info{};
    uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(map, &info, &length) != 0 || !known.insert(info.id).second) return 0;
    uint64_t key = 0, count = 0;
    for (const uint64_t* before = nullptr; bpf_map_get_next_key(map, before, &key) == 0; before = &key)
        ++count;
    return count;
}

}  // namespace

Result<std::optional<Detached>> detach(const std::string& directory) {
    const auto pins = Pins::open_existing(directory);
    if (!pins) return std::unexpected(pins.error());
    if (!*pins) return std::nullopt;
    const auto generations = (*pins)->generations();
    for (const uint32_t generation : generations)
        (*pins)->remove_links(generation);
    Detached detached;
    std::set<uint32_t> counted, counted_beyond;
    for (const uint32_t generation : generations) {
        Fd map = (*pins)->map(generation, "ring");
        if (!map.valid()) continue;
        const auto ring = Ring::open(std::move(map));
        if (!ring || !counted.insert((*ring)->id()).second) continue;
        while ((*ring)->next())
            ++detached.unread;
    }
    for (const uint32_t generation : generations)
        if (const Fd map = (*pins)->map(generation, "overflow"); map.valid())
            detached.unread += count_elements(map.get(), counted_beyond);
    if (auto removed = (*pins)->remove_all(); !removed) return std::unexpected(removed.error());
    return detached;
}

}  // namespace tcptrail::capture
