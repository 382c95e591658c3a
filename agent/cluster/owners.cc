// SPDX-License-Identifier: Apache-2.0
#include "agent/cluster/owners.h"

#include <algorithm>
#include <utility>

#include "agent/cluster/json.h"

namespace tcptrail::cluster {
namespace {

// Beyond it the table begins anew. A node has hundreds, a cluster thousands.
constexpr size_t most_owners = 65536;

bool is_in_group(const std::string& api_version, std::string_view group) {
    return std::string_view(api_version).substr(0, api_version.find('/')) == group;
}

// The API server takes any text as a reference to an owner, from whoever may make a pod; it is to lead to an
// object of this kind, and nowhere else in the API. Source: Kubernetes, IsDNS1123Subdomain().
bool is_name(std::string_view text) {
    const auto is_plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    return !text.empty() && text.size() <= 253 && is_plain(text.front()) && is_plain(text.back()) &&
           std::ranges::all_of(text, [&](char c) { return is_plain(c) || c == '-' || c == '.'; });
}

bool may_be_asked_for(const Pod& pod) {
    const std::string_view version = pod.owner->api_version;
    const size_t slash = version.find('/');
    return slash != version.npos && is_name(version.substr(slash + 1)) && is_name(pod.name_space) &&
           is_name(pod.owner->name);
}

// The resource of a kind that may itself have an owner; empty: there is none above, or we do not know it.
std::string resource_of(const Pod::Owner& owner) {
    if (owner.kind == "ReplicaSet" && is_in_group(owner.api_version, "apps")) return "replicasets";
    if (owner.kind == "Job" && is_in_group(owner.api_version, "batch")) return "jobs";
    return {};
}

// A Deployment calls its ReplicaSets "<its name>-<hash>", and puts the hash on their pods as a label:
// nobody has to be asked. Source: Kubernetes, getNewReplicaSet() in pkg/controller/deployment/sync.go.
std::optional<Workload> deployment_of(const Pod& pod) {
    if (pod.owner->kind != "ReplicaSet" || pod.template_hash.empty()) return std::nullopt;
    const std::string suffix = "-" + pod.template_hash;
    const std::string& name = pod.owner->name;
    if (name.size() <= suffix.size() || !name.ends_with(suffix)) return std::nullopt;
    return Workload{"Deployment", name.substr(0, name.size() - suffix.size())};
}

}  // namespace

void Owners::resolve(Pod& pod, bool may_ask) {
    pod.workload = {};
    // A static pod is its node's.
    pod.workload_known = !pod.owner || pod.owner->kind == "Node";
    if (pod.workload_known) return;
    const Pod::Owner& owner = *pod.owner;
    const std::string resource = resource_of(owner);
    std::optional<Workload> workload = deployment_of(pod);
    if (const auto found = known_.find(owner.uid); !workload && found != known_.end())
        workload = found->second;
    if (!workload && (resource.empty() || owner.uid.empty() || !may_ask || !may_be_asked_for(pod)))
        workload = Workload{owner.kind, owner.name};
    if (workload) {
        pod.workload = std::move(*workload);
        pod.workload_known = true;
        return;
    }
    if (asked_.contains(owner.uid)) return;
    wanted_.try_emplace(owner.uid, Question{owner.uid,
                                            "/apis/" + owner.api_version + "/namespaces/" + pod.name_space +
                                                "/" + resource + "/" + owner.name,
                                            {owner.kind, owner.name}});
}

std::optional<Owners::Question> Owners::next() {
    if (wanted_.empty()) return std::nullopt;
    Question question = std::move(wanted_.begin()->second);
    wanted_.erase(wanted_.begin());
    asked_.insert(question.uid);
    return question;
}

void Owners::answer(const Question& question, const std::optional<Json>& object) {
    asked_.erase(question.uid);
    if (known_.size() >= most_owners) known_.clear();
    Workload workload = question.itself;
    // Another object may have got the name of one that is gone.
    if (object && string_in(member_of(*object, "metadata"), "uid") == question.uid)
        if (const auto owner = controller_of(member_of(*object, "metadata")))
            workload = {owner->kind, owner->name};
    known_.insert_or_assign(question.uid, std::move(workload));
}

}  // namespace tcptrail::cluster
