// SPDX-License-Identifier: Apache-2.0
#include "agent/context/context.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace tcptrail::context {
namespace {

cluster::Address cluster_address(const connections::Endpoint& endpoint, bool ipv6) {
    if (ipv6) return endpoint.address;
    cluster::Address address{};
    address[10] = address[11] = 0xff;
    std::copy_n(endpoint.address.begin(), 4, address.begin() + 12);
    return address;
}

}  // namespace

Identity Context::find(const connections::Owner& owner) {
    static const Process nobody;
    Identity identity;
    identity.uid = owner.uid;
    const Process& process = owner.pid ? processes_.find(owner.pid, owner.start_ns, owner.name) : nobody;
    identity.executable = process.executable;
    if (!identity.uid && process.uid != ~0u) identity.uid = process.uid;
    // The socket's own cgroup is right in any context, also when the process is gone. It names no container
    // where they live in cgroup v1: there the process is asked.
    const Place* place = cgroups_.place_of(owner.cgroup_id);
    const bool says_nothing = place && place->cgroup_path == "/" && !process.place.cgroup_path.empty();
    if (!place || says_nothing || (process.is_in_version_1 && place->container_id.empty()))
        place = &process.place;
    identity.cgroup_path = place->cgroup_path;
    identity.container_id = place->container_id;
    identity.container_runtime = place->container_runtime;
    identity.systemd_unit = place->systemd_unit;
    identity.systemd_slice = place->systemd_slice;
    // It was gone before anybody looked.
    if (place->cgroup_path.empty() && owner.cgroup_id && cgroups_.is_mounted())
        identity.unknown |= connections::cgroup_unknown;
    identity.pod = kubernetes_.name(*place);
    if (identity.pod.uid.empty()) identity.container_name = container_names_.find(place->container_id);
    identity.unknown |= identity.pod.unknown;
    return identity;
}

Identity Context::find(const connections::Connection& connection) {
    Identity identity = find(connection.owner);
    if (kubernetes_.names_remotes() && connection.has_addresses &&
        connection.remote_scope != connections::Scope::loopback)
        identity.remote = kubernetes_.name_remote(cluster_address(connection.remote, connection.ipv6),
                                                  connection.opened_unix_nanos.value_or(0));
    return identity;
}

Result<> Context::ask_cluster(const cluster::Options& options, const std::string& node) {
    if (options.api_server.empty()) return {};
    auto cluster = cluster::Cluster::start(options, node);
    if (!cluster) return std::unexpected(std::move(cluster.error()));
    kubernetes_.ask(std::move(*cluster), options.remote);
    return {};
}

void Context::wait_for_cluster(std::chrono::milliseconds longest) {
    const auto until = std::chrono::steady_clock::now() + longest;
    while (cluster() && cluster()->contact() == cluster::Contact::starting &&
           std::chrono::steady_clock::now() < until)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    refresh();
}

}  // namespace tcptrail::context
