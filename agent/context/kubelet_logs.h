// SPDX-License-Identifier: Apache-2.0
//
// Names of pods and containers without anybody's help: a kubelet gives the logs of each a place that has
// them.
//   pods/<namespace>_<pod>_<uid>/                    made before the pod's first container
//   containers/<pod>_<namespace>_<container>-<id>.log  a link, made when the container is started
// Whatever the runtime, and while the API server is away; some kubelets let only root look. Source:
// Kubernetes, BuildPodLogsDirectory() and legacyLogSymlink() in pkg/kubelet/kuberuntime.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/text_table.h"

namespace tcptrail::context {

struct PodName {
    std::string pod;
    std::string name_space;
};

// What was read once stays known: a pod that is gone has connections that end. Used by the capture thread
// alone.
class KubeletLogs {
public:
    // `folder` has `pods` and `containers`; empty: nothing is looked up.
    explicit KubeletLogs(std::string folder) : folder_(std::move(folder)) {}

    // By the pod's uid, as pod_uid_of() has it. nullptr: not known (yet). Valid until the next call.
    const PodName* pod(std::string_view uid);

    // The container's name in its pod, by its id. Empty: not known (yet): the pod's own sandbox has none.
    // Valid until the next call.
    std::string_view container(std::string_view id);

    // Whether the folders are there and may be read, as far as it was tried.
    bool are_readable() const { return are_readable_; }

private:
    void read_pods();
    void read_containers();

    std::string folder_;
    TextTable<PodName> pods_;            // by uid
    TextTable<std::string> containers_;  // by id
    bool are_readable_ = false;
    uint64_t pods_read_ns_ = 0;
    uint64_t containers_read_ns_ = 0;
};

}  // namespace tcptrail::context
