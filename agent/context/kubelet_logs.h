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
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

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

private:
    struct Hash : std::hash<std::string_view> {
        using is_transparent = void;
    };
    template <class Value>
    using Table = std::unordered_map<std::string, Value, Hash, std::equal_to<>>;

    void read_pods();
    void read_containers();

    std::string folder_;
    Table<PodName> pods_;            // by uid
    Table<std::string> containers_;  // by id
    uint64_t pods_read_ns_ = 0;
    uint64_t containers_read_ns_ = 0;
};

}  // namespace tcptrail::context
