// SPDX-License-Identifier: Apache-2.0
#include "agent/context/container_names.h"

#include <fstream>
#include <iterator>
#include <optional>
#include <utility>

#include "agent/base/clock.h"
#include "agent/cluster/json.h"

namespace tcptrail::context {
namespace {

using cluster::Json;
using cluster::string_in;

constexpr size_t most_names = 65536;                    // beyond it the table begins anew
constexpr uint64_t retry_interval_ns = 10'000'000'000;  // for what had no name
constexpr std::streamsize longest_file = 64 << 20;

std::optional<Json> read_json(const std::string& path) {
    std::ifstream file(path, std::ios::ate);
    if (!file || file.tellg() > longest_file) return std::nullopt;
    file.seekg(0);
    Json parsed = Json::parse(std::istreambuf_iterator<char>(file), {}, nullptr, false);
    if (parsed.is_discarded()) return std::nullopt;
    return parsed;
}

std::string docker_name(const std::string& folder, const std::string& id) {
    const auto config = read_json(folder + "/containers/" + id + "/config.v2.json");
    std::string name = config ? string_in(*config, "Name") : std::string();
    return name.starts_with('/') ? name.substr(1) : name;
}

std::string podman_name(const std::string& folder, const std::string& id) {
    for (const char* file : {"volatile-containers.json", "containers.json"}) {
        const auto all = read_json(folder + "/overlay-containers/" + file);
        if (!all || !all->is_array()) continue;
        for (const Json& container : *all) {
            if (string_in(container, "id") != id) continue;
            const auto names = container.find("names");
            if (names != container.end() && names->is_array() && !names->empty() &&
                names->front().is_string())
                return names->front().get<std::string>();
        }
    }
    return {};
}

}  // namespace

std::string ContainerNames::read(const std::string& id) const {
    std::string name;
    if (!docker_.empty()) name = docker_name(docker_, id);
    if (name.empty() && !podman_.empty()) name = podman_name(podman_, id);
    return name;
}

std::string_view ContainerNames::find(std::string_view id) {
    if (id.empty() || (docker_.empty() && podman_.empty())) return {};
    auto found = known_.find(id);
    const uint64_t now = monotonic_nanos();
    if (found == known_.end()) {
        if (known_.size() >= most_names) known_.clear();
        found = known_.try_emplace(std::string(id), Known{read(std::string(id)), now}).first;
    } else if (found->second.name.empty() && now - found->second.read_ns > retry_interval_ns) {
        found->second = {read(found->first), now};
    }
    return found->second.name;
}

}  // namespace tcptrail::context
