// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/agent_maps.h"

#include <bpf/bpf.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

namespace tcptrail::capture {

namespace {

constexpr std::string_view spine = "inet_sock_set_state";  // what every agent has loaded, and no look at one
constexpr size_t most_maps = 32;

std::optional<bpf_map_info> info_of(int map) {
    bpf_map_info info{};
    uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(map, &info, &length) != 0) return std::nullopt;
    return info;
}

// The kernel cuts names to 15 characters. The layout of what is in a map is ours if its sizes are.
bool is_like(int map, int model) {
    const auto a = info_of(map), b = info_of(model);
    return a && b && strcmp(a->name, b->name) == 0 && a->type == b->type && a->key_size == b->key_size &&
           a->value_size == b->value_size;
}

std::optional<AgentMaps> maps_of(int program, const MapModels& models) {
    std::array<uint32_t, most_maps> ids{};
    bpf_prog_info info{};
    info.nr_map_ids = most_maps;
    info.map_ids = reinterpret_cast<uintptr_t>(ids.data());
    uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(program, &info, &length) != 0) return std::nullopt;
    if (spine.substr(0, sizeof info.name - 1) != info.name) return std::nullopt;
    AgentMaps found;
    for (size_t i = 0; i < std::min<size_t>(info.nr_map_ids, most_maps); ++i) {
        Fd map(bpf_map_get_fd_by_id(ids[i]));
        if (!map.valid()) continue;
        if (is_like(map.get(), models.connections))
            found.connections = std::move(map);
        else if (is_like(map.get(), models.listeners))
            found.listeners = std::move(map);
    }
    if (!found.connections.valid() || !found.listeners.valid()) return std::nullopt;
    return found;
}

}  // namespace

Result<AgentMaps> find_agent_maps(const MapModels& models) {
    uint32_t id = 0;
    while (bpf_prog_get_next_id(id, &id) == 0) {
        const Fd program(bpf_prog_get_fd_by_id(id));
        if (!program.valid()) continue;  // gone meanwhile
        if (auto found = maps_of(program.get(), models)) return std::move(*found);
    }
    if (errno != ENOENT) return fail_errno("the maps of a running agent cannot be looked for", errno);
    return fail("no agent traces this host");
}

}  // namespace tcptrail::capture
