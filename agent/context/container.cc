// SPDX-License-Identifier: Apache-2.0
#include "agent/context/container.h"

#include <algorithm>

namespace tcptrail::context {

namespace {

constexpr size_t oci_id_length = 64;  // hex digits: docker, containerd under CRI, CRI-O, podman

bool is_hex(std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string_view id_in_component(std::string_view component) {
    // A service whose name is a container's id is podman's health check, beside the container.
    constexpr std::string_view scope = ".scope";
    if (component.ends_with(scope)) component.remove_suffix(scope.size());
    if (component.size() < oci_id_length) return {};
    const std::string_view id = component.substr(component.size() - oci_id_length);
    const std::string_view before = component.substr(0, component.size() - oci_id_length);
    if (!is_hex(id)) return {};
    // What stands before must be a prefix of the runtime: <name>- or <name>: (runc's systemd form).
    if (!before.empty() && before.back() != '-' && before.back() != ':') return {};
    // CRI-O's conmon is beside the container, not in it.
    if (before.ends_with("conmon-")) return {};
    return id;
}

struct Runtime {
    std::string_view mark;  // what stands before the id
    std::string_view name;
};
// Sources: moby and containers/common for systemd's scopes and cgroupfs, containerd's CRI plugin, CRI-O,
// nerdctl.
constexpr Runtime runtimes[] = {
    {"docker-", "docker"},
    {"/docker/", "docker"},
    {"libpod-", "podman"},
    {"cri-containerd-", "containerd"},
    {"cri-containerd:", "containerd"},
    {"nerdctl-", "containerd"},
    {"crio-", "cri-o"},
};

}  // namespace

std::string_view container_runtime_of(std::string_view cgroup_path) {
    const std::string_view id = container_id_of(cgroup_path);
    if (id.empty()) return {};
    const std::string_view before =
        cgroup_path.substr(0, static_cast<size_t>(id.data() - cgroup_path.data()));
    for (const Runtime& runtime : runtimes)
        if (before.ends_with(runtime.mark)) return runtime.name;
    return {};
}

std::string_view container_id_of(std::string_view cgroup_path) {
    while (!cgroup_path.empty()) {
        const size_t slash = cgroup_path.rfind('/');
        const std::string_view component =
            slash == std::string_view::npos ? cgroup_path : cgroup_path.substr(slash + 1);
        if (const std::string_view id = id_in_component(component); !id.empty()) return id;
        if (slash == std::string_view::npos) break;
        cgroup_path = cgroup_path.substr(0, slash);
    }
    return {};
}

}  // namespace tcptrail::context
