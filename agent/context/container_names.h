// SPDX-License-Identifier: Apache-2.0
//
// Names of containers outside of Kubernetes, from where their runtimes keep what they know of them:
//   Docker  <docker>/containers/<id>/config.v2.json: {"Name": "/web", …}
//   podman  <podman>/overlay-containers/containers.json and volatile-containers.json: [{"id": …, "names":
//   ["web"]}]
// Both are written before a container starts. Sources: moby, daemon/container/container.go (ToDisk);
// containers/storage, containers.go.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "agent/base/text_table.h"

namespace tcptrail::context {

// What was read once stays known. Used by the capture thread alone.
class ContainerNames {
public:
    // The runtimes' own folders; empty: not looked into.
    ContainerNames(std::string docker, std::string podman)
        : docker_(std::move(docker)), podman_(std::move(podman)) {}

    // Empty: not known: another runtime's, or one that we may not look into. Valid until the next call.
    std::string_view find(std::string_view id);

private:
    struct Known {
        std::string name;
        uint64_t read_ns = 0;
    };

    std::string read(const std::string& id) const;

    std::string docker_, podman_;
    TextTable<Known> known_;  // by id
};

}  // namespace tcptrail::context
