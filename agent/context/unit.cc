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

// Of those types that have processes.
bool is_unit(std::string_view name) {
    constexpr std::string_view types[] = {".service", ".scope", ".socket", ".mount", ".swap"};
    if (name.size() > longest_name || !std::ranges::all_of(name, is_unit_character)) return false;
    return std::ranges::any_of(
        types, [&](std::string_view type) { return name.size() > type.size() && name.ends_with(type); });
}

}  // namespace

std::string_view systemd_unit_of(std::string_view cgroup_path) {
    while (!cgroup_path.empty()) {
        if (cgroup_path.front() == '/') {
            cgroup_path.remove_prefix(1);
            continue;
        }
        std::string_view component = cgroup_path.substr(0, cgroup_path.find('/'));
        cgroup_path.remove_prefix(component.size());
        // A name that the kernel might take for a file of its own has one before it.
        if (component.starts_with('_')) component.remove_prefix(1);
        if (component.ends_with(".slice")) continue;
        return is_unit(component) && container_id_of(component).empty() ? component : std::string_view();
    }
    return {};
}

}  // namespace tcptrail::context
