// SPDX-License-Identifier: Apache-2.0
#include "agent/context/pod.h"

#include <string>

#include "tests/catch.h"

using tcptrail::context::pod_uid_of;

namespace {

const std::string id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const std::string uid = "8c1a2b3c-1111-2222-3333-444455556666";
const std::string other = "00000000-1111-2222-3333-444455556666";
const std::string escaped = "8c1a2b3c_1111_2222_3333_444455556666";
const std::string of_static_pod = "fedcba9876543210fedcba9876543210";

std::string uid_of(const std::string& path) {
    return pod_uid_of(path);
}

}  // namespace

TEST_CASE("pod: the uid in what kubelets write", "[unit]") {
    for (const std::string& path : {
             "/kubepods/pod" + uid + "/" + id,
             "/kubepods/burstable/pod" + uid + "/" + id,
             "/kubepods/besteffort/pod" + uid,
             "/kubepods/pod" + uid + "/crio-" + id,
             "/kubepods.slice/kubepods-pod" + escaped + ".slice/cri-containerd-" + id + ".scope",
             "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + escaped + ".slice/crio-" +
                 id + ".scope",
             // What the container made of its own
             "/kubepods/burstable/pod" + uid + "/" + id + "/system.slice/nginx.service",
             // --cgroup-root
             "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
             "kubelet-kubepods-besteffort-pod" +
                 escaped + ".slice/cri-containerd-" + id + ".scope",
             "/kubelet/kubepods/besteffort/pod" + uid + "/" + id,
             // k3s, in the cgroup of its service; containerd without a CRI plugin that knows of systemd
             "/system.slice/k3s.service/kubepods/burstable/pod" + uid + "/" + id,
             "/system.slice/containerd.service/kubepods-besteffort-pod" + escaped +
                 ".slice:cri-containerd:" + id,
             // A node that is a container, and one that is a pod
             "/docker/" + id + "/kubepods/besteffort/pod" + uid + "/" + id,
             "/kubepods/pod" + other + "/" + id + "/kubepods/burstable/pod" + uid + "/" + id,
         }) {
        INFO(path);
        CHECK(uid_of(path) == uid);
    }
    CHECK(uid_of("/kubepods/burstable/pod" + of_static_pod + "/" + id) == of_static_pod);
    CHECK(uid_of("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + of_static_pod +
                 ".slice/crio-" + id + ".scope") == of_static_pod);
}

TEST_CASE("pod: cgroups of none", "[unit]") {
    for (const std::string& path : {
             std::string(),
             std::string("/"),
             std::string("/kubepods"),
             std::string("/kubepods/burstable"),
             std::string("/kubepods.slice/kubepods-burstable.slice"),
             "/pod" + uid + "/" + id,
             "/machine.slice/pod" + uid,
             "/libpod_parent/libpod-" + id,
             "/machine.slice/machine-libpod_pod_" + id + ".slice/libpod-" + id + ".scope",
             std::string("/kubepods/burstable/podcast"),
             "/kubepods/burstable/pod" + uid + "0",
             std::string("/kubepods/pod8C1A2B3C-1111-2222-3333-444455556666"),
             "/kubepods.slice/kubepods-pod" + escaped.substr(1) + ".slice",
             "/system.slice/web-pod" + escaped + ".slice",
             "/docker/" + id,
         }) {
        INFO(path);
        CHECK(uid_of(path).empty());
    }
}
