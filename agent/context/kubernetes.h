// SPDX-License-Identifier: Apache-2.0
//
// Names of pods, containers and workloads: from the API server where it is asked, from the kubelet's folders
// where it is not, or has not said it yet.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/text_table.h"
#include "agent/cluster/cluster.h"
#include "agent/cluster/directory.h"
#include "agent/context/kubelet_logs.h"
#include "agent/context/place.h"

namespace tcptrail::context {

// Where names come from, and so why one is missing. The schema's enum Metadata has these numbers.
enum class Metadata : uint8_t {
    unspecified,      // from nowhere: nobody is asked, and there are no such folders
    api_server,       // it is in touch; what is missing it had not told yet
    kubelet,          // nobody asks the API server (kubernetes.api_server is empty)
    api_starting,     // its first answer was not complete
    api_unreachable,  // it does not answer, or in error: names are as it told them last
    api_denied,       // it refuses to tell; the same
};

// Views are valid until the next call of Kubernetes.
struct PodIdentity {
    std::string_view uid;
    std::string_view name_space;
    std::string_view pod;
    std::string_view container;  // its name in the pod
    std::string_view workload_kind;
    std::string_view workload;
    std::string_view node;
    Metadata metadata = Metadata::unspecified;
    uint32_t unknown = 0;  // bits of connections::PartialBit
};
struct RemoteIdentity {
    std::string_view name_space;
    std::string_view pod;
    std::string_view service;
    std::string_view workload_kind;
    std::string_view workload;
    std::string_view node;
};

// Used by the capture thread alone.
class Kubernetes {
public:
    Kubernetes(std::string kubelet_logs, std::chrono::milliseconds wait)
        : kubelet_logs_(std::move(kubelet_logs)), wait_(wait) {}

    // `cluster`: from now on the API server is asked, too.
    void ask(std::unique_ptr<cluster::Cluster> cluster, bool remote);
    // Takes what the API server has said.
    void refresh();

    // Of the pod that the place says; empty: it is none.
    PodIdentity name(const Place& place);
    // Whether what the last name() did not find may come within what is left of context.wait_ms.
    bool may_come() const { return may_come_; }
    // Of a remote end at that time (wall clock; 0: now).
    RemoteIdentity name_remote(const cluster::Address& address, uint64_t unix_ns);
    bool names_remotes() const { return remote_; }

    const cluster::Cluster* cluster() const { return cluster_.get(); }

private:
    Metadata metadata() const;
    bool is_worth_waiting(std::string_view key);

    KubeletLogs kubelet_logs_;
    std::chrono::milliseconds wait_;
    std::unique_ptr<cluster::Cluster> cluster_;
    bool remote_ = false;
    cluster::Directory directory_;
    cluster::Directory::Holder holder_;  // of the last name_remote()
    TextTable<uint64_t> asked_ns_;       // what is not known, by when it was asked for first
    bool may_come_ = false;
};

}  // namespace tcptrail::context
