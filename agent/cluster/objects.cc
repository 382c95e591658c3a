// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster/objects.h"

#include <arpa/inet.h>
#include <time.h>

#include <cstring>
#include <limits>

#include "agent/cluster/json.h"

namespace tcptrail::cluster {
namespace {

constexpr uint64_t nanos_per_second = 1'000'000'000;
constexpr time_t last_second = std::numeric_limits<uint64_t>::max() / nanos_per_second;  // in 2554

void add_address(std::vector<Address>& addresses, const Json& text) {
    if (!text.is_string()) return;
    if (const auto address = parse_address(text.get<std::string>())) addresses.push_back(*address);
}

// "2026-11-30T04:00:00Z" (RFC 3339, as metav1.Time is written); 0: it is not one.
uint64_t parse_time(const std::string& text) {
    tm broken{};
    const char* end = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &broken);
    if (!end || *end) return 0;
    const time_t seconds = timegm(&broken);
    return seconds < 0 || seconds > last_second ? 0 : static_cast<uint64_t>(seconds) * nanos_per_second;
}

// "containerd://<id>", "cri-o://<id>", …
std::string id_in(const std::string& container) {
    const size_t at = container.find("://");
    return at == std::string::npos ? std::string() : container.substr(at + 3);
}

// The one that runs, and the one before it, whose connections may end later.
void add_containers(Pod& pod, const Json& statuses) {
    if (!statuses.is_array()) return;
    for (const Json& status : statuses) {
        const std::string name = string_in(status, "name");
        if (name.empty()) continue;
        for (const std::string& id :
             {id_in(string_in(status, "containerID")),
              id_in(string_in(member_of(member_of(status, "lastState"), "terminated"), "containerID"))})
            if (!id.empty()) pod.containers.emplace_back(id, name);
    }
}

// The API server's own uid of a static pod is not in its cgroup's path: the kubelet knew it first by the hash
// of its manifest. Source: Kubernetes, pkg/kubelet/types/pod_update.go.
std::string uid_on_node(const Json& metadata) {
    const Json& annotations = member_of(metadata, "annotations");
    std::string hash = string_in(annotations, "kubernetes.io/config.mirror").empty()
                           ? std::string()
                           : string_in(annotations, "kubernetes.io/config.hash");
    return hash.empty() ? string_in(metadata, "uid") : hash;
}

}  // namespace

std::optional<Pod::Owner> controller_of(const Json& metadata) {
    const Json& owners = member_of(metadata, "ownerReferences");
    if (!owners.is_array()) return std::nullopt;
    for (const Json& owner : owners)
        if (is_true(owner, "controller"))
            return Pod::Owner{string_in(owner, "apiVersion"), string_in(owner, "kind"),
                              string_in(owner, "name"), string_in(owner, "uid")};
    return std::nullopt;
}

std::optional<Address> parse_address(const std::string& text) {
    Address address{};
    if (inet_pton(AF_INET6, text.c_str(), address.data()) == 1) return address;
    address[10] = address[11] = 0xff;
    if (inet_pton(AF_INET, text.c_str(), address.data() + 12) == 1) return address;
    return std::nullopt;
}

std::optional<Parsed<Pod>> parse_pod(const Json& object, std::string_view this_node) {
    const Json& metadata = member_of(object, "metadata");
    const Json& spec = member_of(object, "spec");
    const Json& status = member_of(object, "status");
    Parsed<Pod> parsed{string_in(metadata, "uid"), {}};
    Pod& pod = parsed.object;
    pod.uid = uid_on_node(metadata);
    pod.name_space = string_in(metadata, "namespace");
    pod.name = string_in(metadata, "name");
    if (parsed.uid.empty() || pod.name.empty()) return std::nullopt;
    pod.node = string_in(spec, "nodeName");
    pod.host_network = is_true(spec, "hostNetwork");
    const std::string phase = string_in(status, "phase");
    pod.ended = phase == "Succeeded" || phase == "Failed";
    pod.started_unix_ns = parse_time(string_in(status, "startTime"));
    if (const Json& addresses = member_of(status, "podIPs"); !pod.host_network && addresses.is_array())
        for (const Json& address : addresses)
            add_address(pod.addresses, member_of(address, "ip"));
    pod.owner = controller_of(metadata);
    pod.template_hash = string_in(member_of(metadata, "labels"), "pod-template-hash");
    if (pod.node != this_node) return parsed;
    for (const char* kind : {"initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"})
        add_containers(pod, member_of(status, kind));
    return parsed;
}

std::optional<Parsed<Service>> parse_service(const Json& object) {
    const Json& metadata = member_of(object, "metadata");
    const Json& spec = member_of(object, "spec");
    Parsed<Service> parsed{string_in(metadata, "uid"),
                           {string_in(metadata, "namespace"), string_in(metadata, "name"), {}}};
    if (parsed.uid.empty() || parsed.object.name.empty()) return std::nullopt;
    // A headless one has "None", which is no address.
    for (const char* kind : {"clusterIPs", "externalIPs"})
        if (const Json& addresses = member_of(spec, kind); addresses.is_array())
            for (const Json& address : addresses)
                add_address(parsed.object.addresses, address);
    const Json& ingress = member_of(member_of(member_of(object, "status"), "loadBalancer"), "ingress");
    if (ingress.is_array())
        for (const Json& point : ingress)
            add_address(parsed.object.addresses, member_of(point, "ip"));
    return parsed;
}

std::optional<Parsed<Node>> parse_node(const Json& object) {
    const Json& metadata = member_of(object, "metadata");
    Parsed<Node> parsed{string_in(metadata, "uid"), {string_in(metadata, "name"), {}}};
    if (parsed.uid.empty() || parsed.object.name.empty()) return std::nullopt;
    if (const Json& addresses = member_of(member_of(object, "status"), "addresses"); addresses.is_array())
        for (const Json& address : addresses)
            add_address(parsed.object.addresses, member_of(address, "address"));
    return parsed;
}

}  // namespace tcptrail::cluster
