// SPDX-License-Identifier: Apache-2.0
#include "agent/context/pod.h"

#include <algorithm>

namespace tcptrail::context {
namespace {

constexpr std::string_view root_name = "kubepods";
constexpr size_t uuid_length = 36;
constexpr size_t hash_length = 32;  // of a static pod's manifest

// systemd's names have '_' for '-', which there divides a slice from the one above it.
std::string uid_in(std::string_view text) {
    if (text.size() != uuid_length && text.size() != hash_length) return {};
    std::string uid(text);
    std::ranges::replace(uid, '_', '-');
    const bool valid = std::ranges::all_of(
        uid, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-'; });
    return valid ? uid : std::string();
}

// "kubepods-burstable-pod<uid>.slice", also as the beginning of "<slice>:cri-containerd:<id>".
std::string uid_in_slice(std::string_view component) {
    constexpr std::string_view before_uid = "-pod";
    component = component.substr(0, component.find(".slice"));
    const size_t at = component.rfind(before_uid);
    if (at == std::string_view::npos || !component.substr(0, at).contains(root_name)) return {};
    return uid_in(component.substr(at + before_uid.size()));
}

// "pod<uid>" somewhere below "kubepods".
std::string uid_in_folder(std::string_view component, std::string_view above) {
    constexpr std::string_view before_uid = "pod";
    if (!component.starts_with(before_uid) || !above.contains("/kubepods/")) return {};
    return uid_in(component.substr(before_uid.size()));
}

}  // namespace

std::string pod_uid_of(std::string_view cgroup_path) {
    // Most paths are of no pod.
    if (!cgroup_path.contains(root_name)) return {};
    while (!cgroup_path.empty()) {
        const size_t begin = cgroup_path.rfind('/') + 1;  // npos + 1 is 0
        const std::string_view component = cgroup_path.substr(begin);
        std::string uid = uid_in_folder(component, cgroup_path.substr(0, begin));
        if (uid.empty()) uid = uid_in_slice(component);
        if (!uid.empty()) return uid;
        cgroup_path = cgroup_path.substr(0, begin == 0 ? 0 : begin - 1);
    }
    return {};
}

}  // namespace tcptrail::context
