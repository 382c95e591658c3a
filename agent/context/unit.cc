// SPDX-License-Identifier: Apache-2.0
#include "agent/context/unit.h"

#include <algorithm>

#include "agent/context/container.h"

namespace tcptrail::context {
namespace {

// systemd.unit(5): UNIT_NAME_MAX, and what a name is made of.
constexpr size_t longest_name = 255;

bool is_unit_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view(":-_.\\@").contains(c);
}

constexpr std::string_view slice_suffix = ".slice";

bool is_slice(std::string_view name) {
    return name.size() > slice_suffix.size() && name.size() <= longest_name && name.ends_with(slice_suffix) &&
           std::ranges::all_of(name, is_unit_character);
}

// Of those types that have processes.
bool is_unit(std::string_view name) {
    constexpr std::string_view types[] = {".service", ".scope", ".socket", ".mount", ".swap"};
    if (name.size() > longest_name || !std::ranges::all_of(name, is_unit_character)) return false;
    return std::ranges::any_of(
        types, [&](std::string_view type) { return name.size() > type.size() && name.ends_with(type); });
}

// Takes it off the path, without systemd's escape; empty where nothing is between two slashes.
std::string_view next_component(std::string_view& path) {
    std::string_view component = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), component.size() + 1));
    // A name that the kernel might take for a file of its own has one before it.
    if (component.starts_with('_')) component.remove_prefix(1);
    return component;
}

}  // namespace

std::string_view systemd_unit_of(std::string_view cgroup_path) {
    while (!cgroup_path.empty()) {
        const std::string_view component = next_component(cgroup_path);
        if (component.empty() || component.ends_with(slice_suffix)) continue;
        return is_unit(component) && container_id_of(component).empty() ? component : std::string_view();
    }
    return {};
}

std::string_view systemd_slice_of(std::string_view cgroup_path) {
    std::string_view slice;
    while (!cgroup_path.empty()) {
        const std::string_view component = next_component(cgroup_path);
        if (component.empty()) continue;
        if (!is_slice(component)) break;
        slice = component;
    }
    return slice;
}

}  // namespace tcptrail::context
