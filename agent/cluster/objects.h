// SPDX-License-Identifier: Apache-2.0
//
// What is kept of the objects of a cluster.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tcptrail::cluster {

// IPv4 as ::ffff:0:0/96; network byte order.
using Address = std::array<uint8_t, 16>;
std::optional<Address> parse_address(const std::string& text);

// What runs a pod, from its point of view: a Deployment, not the ReplicaSet between.
struct Workload {
    std::string kind;
    std::string name;
    bool operator==(const Workload&) const = default;
};

struct Pod {
    std::string uid;  // as its cgroup's path has it: of a static pod the hash of its manifest
    std::string name_space;
    std::string name;
    std::string node;
    Workload workload;            // empty: it has none
    bool workload_known = false;  // false: whoever could say has not been asked yet
    bool host_network = false;
    bool ended = false;                                           // its address may be another's by now
    uint64_t started_unix_ns = 0;                                 // to the second; 0: not yet
    std::vector<Address> addresses;                               // none of the node's
    std::vector<std::pair<std::string, std::string>> containers;  // id, name

    // The object that controls it.
    struct Owner {
        std::string api_version, kind, name, uid;
        bool operator==(const Owner&) const = default;
    };
    std::optional<Owner> owner;
    std::string template_hash;  // of the Deployment that made its ReplicaSet

    bool operator==(const Pod&) const = default;
};

struct Service {
    std::string name_space;
    std::string name;
    std::vector<Address> addresses;
    bool operator==(const Service&) const = default;
};

struct Node {
    std::string name;
    std::vector<Address> addresses;
    bool operator==(const Node&) const = default;
};

using PodPointer = std::shared_ptr<const Pod>;
using ServicePointer = std::shared_ptr<const Service>;
using NodePointer = std::shared_ptr<const Node>;

// An object as the API server has it. Nothing: it is not one.
template <class Object>
struct Parsed {
    std::string uid;  // the API's own, by which it is added and deleted
    Object object;
};
// Of pods on other nodes than `this_node` the containers are left out: nobody asks for them.
std::optional<Parsed<Pod>> parse_pod(const nlohmann::json& json, std::string_view this_node);
std::optional<Pod::Owner> controller_of(const nlohmann::json& metadata);
std::optional<Parsed<Service>> parse_service(const nlohmann::json& json);
std::optional<Parsed<Node>> parse_node(const nlohmann::json& json);

}  // namespace tcptrail::cluster
