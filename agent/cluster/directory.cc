// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster/directory.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

namespace tcptrail::cluster {
namespace {

// Connections of a pod that is gone end for a while: TIME_WAIT takes a minute, retransmits a quarter of an
// hour.
constexpr uint64_t remembered_ns = 900'000'000'000;
constexpr size_t most_removed = 8192;
constexpr size_t most_holders = 4;

}  // namespace

size_t Directory::AddressHash::operator()(const Address& address) const {
    return XXH3_64bits(address.data(), address.size());
}

void Directory::apply(const Update& update, uint64_t now_ns, uint64_t now_unix_ns) {
    forget_before(now_ns);
    if (update.pod) apply_pod(update, now_ns, now_unix_ns);
    if (update.service) apply_to(services_, &Holder::service, update, update.service);
    if (update.node) apply_to(nodes_, &Holder::node, update, update.node);
}

// Since when, as far as is known, the pod has the address no more; 0: it has it, or never had it.
uint64_t Directory::held_until(const Address& address, const std::string& uid) const {
    const auto found = holders_.find(address);
    if (found == holders_.end()) return 0;
    const auto held = std::ranges::find_if(
        found->second, [&](const Held& each) { return each.holder.pod && each.holder.pod->uid == uid; });
    return held == found->second.end() ? 0 : held->until_unix_ns;
}

void Directory::apply_pod(const Update& update, uint64_t now_ns, uint64_t now_unix_ns) {
    const PodPointer& pod = update.pod;
    if (update.change == Update::Change::removed) {
        for (const Address& address : pod->addresses) {
            const auto found = holders_.find(address);
            if (found == holders_.end()) continue;
            for (Held& held : found->second)
                if (held.holder.pod && held.holder.pod->uid == pod->uid && held.until_unix_ns == 0)
                    held.until_unix_ns = now_unix_ns;
        }
        removed_.push_back({now_ns, pod, {}, {}});
        for (const auto& [id, name] : pod->containers)
            removed_.push_back({now_ns, nullptr, id, pod->uid});
        return;
    }
    // Of one that has ended, when that was seen first.
    std::vector<uint64_t> until;
    for (const Address& address : pod->addresses) {
        const uint64_t known = held_until(address, pod->uid);
        until.push_back(!pod->ended ? 0 : known != 0 ? known : now_unix_ns);
    }
    if (const auto found = pods_.find(pod->uid); found != pods_.end()) {
        const PodPointer before = found->second;
        for (const auto& container : before->containers)
            if (std::ranges::find(pod->containers, container) == pod->containers.end())
                removed_.push_back({now_ns, nullptr, container.first, pod->uid});
        release(before->addresses,
                [&](const Holder& holder) { return holder.pod && holder.pod->uid == pod->uid; });
    }
    pods_.insert_or_assign(pod->uid, pod);
    for (const auto& [id, name] : pod->containers)
        containers_.insert_or_assign(id, name);
    for (size_t i = 0; i < pod->addresses.size(); ++i)
        hold(pod->addresses[i], {pod, nullptr, nullptr}, until[i]);
}

template <class Object>
void Directory::apply_to(TextTable<std::shared_ptr<const Object>>& table,
                         std::shared_ptr<const Object> Holder::* member, const Update& update,
                         const std::shared_ptr<const Object>& object) {
    if (const auto found = table.find(update.key); found != table.end()) {
        const auto before = found->second;
        release(before->addresses, [&](const Holder& holder) { return holder.*member == before; });
        table.erase(found);
    }
    if (update.change == Update::Change::removed) return;
    table.emplace(update.key, object);
    for (const Address& address : object->addresses) {
        Holder holder;
        holder.*member = object;
        hold(address, std::move(holder));
    }
}

void Directory::hold(const Address& address, Holder holder, uint64_t until_unix_ns) {
    Holders& holders = holders_[address];
    // A pod that has ended does not take the address from one that has it.
    const bool is_old = until_unix_ns != 0;
    holders.insert(is_old ? holders.end() : holders.begin(), {std::move(holder), until_unix_ns});
    if (holders.size() > most_holders) holders.pop_back();
}

void Directory::release(const std::vector<Address>& addresses,
                        const std::function<bool(const Holder&)>& is_it) {
    for (const Address& address : addresses) {
        const auto found = holders_.find(address);
        if (found == holders_.end()) continue;
        std::erase_if(found->second, [&](const Held& held) { return is_it(held.holder); });
        if (found->second.empty()) holders_.erase(found);
    }
}

void Directory::forget_before(uint64_t now_ns) {
    while (!removed_.empty() &&
           (removed_.size() > most_removed || now_ns - removed_.front().at_ns > remembered_ns)) {
        const Removed gone = std::move(removed_.front());
        removed_.pop_front();
        // A static pod that came back has its uid again, and the containers that run, theirs.
        if (!gone.pod) {
            if (!has_container(gone.uid, gone.container)) containers_.erase(gone.container);
            continue;
        }
        release(gone.pod->addresses, [&](const Holder& holder) { return holder.pod == gone.pod; });
        if (const auto found = pods_.find(gone.pod->uid); found != pods_.end() && found->second == gone.pod)
            pods_.erase(found);
    }
}

bool Directory::has_container(const std::string& uid, const std::string& id) const {
    const auto found = pods_.find(uid);
    return found != pods_.end() &&
           std::ranges::any_of(found->second->containers, [&](const auto& each) { return each.first == id; });
}

const Pod* Directory::pod(std::string_view uid) const {
    const auto found = pods_.find(uid);
    return found == pods_.end() ? nullptr : found->second.get();
}

std::string_view Directory::container(std::string_view id) const {
    const auto found = containers_.find(id);
    return found == containers_.end() ? std::string_view() : found->second;
}

Directory::Holder Directory::holder(const Address& address, uint64_t unix_ns) const {
    const auto found = holders_.find(address);
    if (found == holders_.end()) return {};
    // Of pods one after the other with one address: the latest that had begun by then, and still had it.
    for (const auto& [holder, until_unix_ns] : found->second) {
        const bool is_over = until_unix_ns != 0 && (unix_ns == 0 || unix_ns > until_unix_ns);
        const bool has_begun = !holder.pod || unix_ns == 0 || holder.pod->started_unix_ns <= unix_ns;
        if (has_begun && !is_over) return holder;
    }
    return {};
}

}  // namespace tcptrail::cluster
