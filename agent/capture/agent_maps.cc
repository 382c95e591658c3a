// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/agent_maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

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

bool has_name_of(const bpf_map_info& map, const bpf_map* model) {
    return strcmp(map.name, bpf_map__name(model)) == 0;
}

bool is_like(const bpf_map_info& map, const bpf_map* model) {
    return has_name_of(map, model) && map.type == static_cast<uint32_t>(bpf_map__type(model)) &&
           map.key_size == bpf_map__key_size(model) && map.value_size == bpf_map__value_size(model);
}

enum class Version { none, other, ours };

// Whose program it is, by the maps that it uses.
Version find_maps(int program, const MapModels& models, AgentMaps& found) {
    std::array<uint32_t, most_maps> ids{};
    bpf_prog_info info{};
    info.nr_map_ids = most_maps;
    info.map_ids = reinterpret_cast<uintptr_t>(ids.data());
    uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(program, &info, &length) != 0) return Version::none;
    // The kernel cuts names to 15 characters.
    if (spine.substr(0, sizeof info.name - 1) != info.name) return Version::none;
    bool has_names = false;
    for (size_t i = 0; i < std::min<size_t>(info.nr_map_ids, most_maps); ++i) {
        Fd map(bpf_map_get_fd_by_id(ids[i]));
        const auto like = map.valid() ? info_of(map.get()) : std::nullopt;
        if (!like) continue;
        has_names |= has_name_of(*like, models.connections);
        if (is_like(*like, models.connections))
            found.connections = std::move(map);
        else if (is_like(*like, models.slots))
            found.slots = std::move(map);
        else if (is_like(*like, models.details))
            found.details = std::move(map);
        // Its size has the version of the layout (bpf/maps.bpf.h).
        else if (is_like(*like, models.listeners) &&
                 like->max_entries == bpf_map__max_entries(models.listeners))
            found.listeners = std::move(map);
    }
    if (found.connections.valid() && found.slots.valid() && found.details.valid() && found.listeners.valid())
        return Version::ours;
    return has_names ? Version::other : Version::none;
}

}  // namespace

Result<std::optional<AgentMaps>> find_agent_maps(const MapModels& models) {
    bool other_version = false;
    uint32_t id = 0;
    while (bpf_prog_get_next_id(id, &id) == 0) {
        const Fd program(bpf_prog_get_fd_by_id(id));
        if (!program.valid()) continue;  // gone meanwhile
        AgentMaps found;
        const Version version = find_maps(program.get(), models, found);
        if (version == Version::ours) return std::optional(std::move(found));
        other_version |= version == Version::other;
    }
    if (errno != ENOENT) return fail_errno("asking for it needs CAP_SYS_ADMIN", errno);
    if (other_version) return fail("it is of another version");
    return std::optional<AgentMaps>();
}

}  // namespace tcptrail::capture
