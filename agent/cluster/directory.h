// SPDX-License-Identifier: Apache-2.0
//
// Pods, services and nodes by what a connection shows of them: the uid in a cgroup's path, a container's id,
// an address.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/base/text_table.h"
#include "agent/cluster/objects.h"

namespace tcptrail::cluster {

// What has changed, in the order in which it did.
struct Update {
    enum class Change : uint8_t { put, removed };
    Change change = Change::put;
    // One of them. `key` is the API's uid of it.
    std::string key;
    PodPointer pod;
    ServicePointer service;
    NodePointer node;
};

// Used by one thread.
class Directory {
public:
    // `now_ns`: CLOCK_MONOTONIC; `now_unix_ns`: the wall clock. What is removed stays known for a while: its
    // connections end after it.
    void apply(const Update& update, uint64_t now_ns, uint64_t now_unix_ns);

    // nullptr: not known (yet). All pointers are valid until the next apply().
    const Pod* pod(std::string_view uid) const;
    // The name of a container by its id; empty: not known (yet).
    std::string_view container(std::string_view id) const;

    // Who has an address, or had it at that time (wall clock; 0: now).
    struct Holder {
        PodPointer pod;
        ServicePointer service;
        NodePointer node;
    };
    Holder holder(const Address& address, uint64_t unix_ns) const;

    size_t pods() const { return pods_.size(); }
    size_t addresses() const { return holders_.size(); }

private:
    struct AddressHash {
        size_t operator()(const Address& address) const;
    };
    // `until_unix_ns`: when it was seen that a pod has it no more; 0: it has it.
    struct Held {
        Holder holder;
        uint64_t until_unix_ns;
    };
    // The last few of each address, the latest first: pods come and go.
    using Holders = std::vector<Held>;

    void apply_pod(const Update& update, uint64_t now_ns, uint64_t now_unix_ns);
    bool has_container(const std::string& uid, const std::string& id) const;
    template <class Object>
    void apply_to(TextTable<std::shared_ptr<const Object>>& table,
                  std::shared_ptr<const Object> Holder::* member, const Update& update,
                  const std::shared_ptr<const Object>& object);
    void hold(const Address& address, Holder holder, uint64_t until_unix_ns = 0);
    uint64_t held_until(const Address& address, const std::string& uid) const;
    void release(const std::vector<Address>& addresses, const std::function<bool(const Holder&)>& is_it);
    void forget_before(uint64_t now_ns);

    TextTable<PodPointer> pods_;         // by uid, as cgroups have it
    TextTable<std::string> containers_;  // name by id
    TextTable<ServicePointer> services_;
    TextTable<NodePointer> nodes_;
    std::unordered_map<Address, Holders, AddressHash> holders_;
    // Known until it is forgotten: a pod that is gone, or a container that its pod does not name any more.
    struct Removed {
        uint64_t at_ns;
        PodPointer pod;
        std::string container;
        std::string uid;  // of the container's pod
    };
    std::deque<Removed> removed_;
};

}  // namespace tcptrail::cluster
