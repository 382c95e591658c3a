// SPDX-License-Identifier: Apache-2.0
#include "agent/context/kubernetes.h"

#include <utility>

#include "agent/base/clock.h"
#include "agent/connections/connection.h"

namespace tcptrail::context {
namespace {

constexpr size_t most_asked = 16384;  // beyond it the table begins anew

}  // namespace

void Kubernetes::ask(std::unique_ptr<cluster::Cluster> cluster, bool remote) {
    cluster_ = std::move(cluster);
    remote_ = remote;
}

void Kubernetes::refresh() {
    if (cluster_) cluster_->take(directory_);
}

Metadata Kubernetes::metadata() const {
    if (!cluster_) return Metadata::kubelet;
    switch (cluster_->contact()) {
        case cluster::Contact::starting:
            return Metadata::api_starting;
        case cluster::Contact::current:
            return Metadata::api_server;
        case cluster::Contact::unreachable:
            return Metadata::api_unreachable;
        case cluster::Contact::denied:
            return Metadata::api_denied;
    }
    return Metadata::unspecified;
}

// Once for each: what did not come by then may never come.
bool Kubernetes::is_worth_waiting(std::string_view key) {
    if (wait_.count() == 0) return false;
    if (asked_ns_.size() >= most_asked) asked_ns_.clear();
    const uint64_t now = monotonic_nanos();
    auto asked = asked_ns_.find(key);
    if (asked == asked_ns_.end()) asked = asked_ns_.emplace(key, now).first;
    return now - asked->second < static_cast<uint64_t>(std::chrono::nanoseconds(wait_).count());
}

PodIdentity Kubernetes::name(const Place& place) {
    may_come_ = false;
    PodIdentity identity;
    if (place.pod_uid.empty()) return identity;
    identity.uid = place.pod_uid;
    const cluster::Pod* pod = directory_.pod(place.pod_uid);
    if (pod) {
        identity.pod = pod->name;
        identity.name_space = pod->name_space;
        identity.node = pod->node;
        identity.workload_kind = pod->workload.kind;
        identity.workload = pod->workload.name;
    } else if (const PodName* name = kubelet_logs_.pod(place.pod_uid)) {
        identity.pod = name->pod;
        identity.name_space = name->name_space;
    }
    identity.container = directory_.container(place.container_id);
    if (identity.container.empty()) identity.container = kubelet_logs_.container(place.container_id);

    // The API server tells all of it, the kubelet's folders all but the workload. What nobody was to tell is
    // not missed.
    const bool folders_tell = kubelet_logs_.are_readable();
    identity.metadata = metadata();
    if (identity.metadata == Metadata::kubelet && !folders_tell) identity.metadata = Metadata::unspecified;
    if (identity.metadata == Metadata::unspecified) return identity;
    const bool lacks_pod = identity.pod.empty();
    const bool lacks_container = identity.container.empty() && !place.container_id.empty();
    const bool lacks_workload = cluster_ && (!pod || !pod->workload_known);
    if (lacks_pod) identity.unknown |= connections::pod_unknown;
    if (lacks_container) identity.unknown |= connections::container_unknown;
    if (lacks_workload) identity.unknown |= connections::workload_unknown;
    const bool server_tells =
        identity.metadata == Metadata::api_server || identity.metadata == Metadata::api_starting;
    // Nothing waits while the API server does not answer, though a folder may be a moment late.
    const bool may_be_told = server_tells || identity.metadata == Metadata::kubelet;
    if (lacks_container && may_be_told) may_come_ = is_worth_waiting(place.container_id);
    if ((lacks_pod && may_be_told) || (lacks_workload && server_tells))
        may_come_ |= is_worth_waiting(place.pod_uid);
    return identity;
}

RemoteIdentity Kubernetes::name_remote(const cluster::Address& address, uint64_t unix_ns) {
    RemoteIdentity identity;
    holder_ = directory_.holder(address, unix_ns);
    if (holder_.pod) {
        identity.name_space = holder_.pod->name_space;
        identity.pod = holder_.pod->name;
        identity.workload_kind = holder_.pod->workload.kind;
        identity.workload = holder_.pod->workload.name;
        identity.node = holder_.pod->node;
    } else if (holder_.service) {
        identity.name_space = holder_.service->name_space;
        identity.service = holder_.service->name;
    } else if (holder_.node) {
        identity.node = holder_.node->name;
    }
    return identity;
}

}  // namespace tcptrail::context
