// SPDX-License-Identifier: Apache-2.0
#include "agent/context/container.h"

#include <string>

#include "tests/catch.h"

using tcptrail::context::container_id_of;
using tcptrail::context::container_runtime_of;

namespace {

const std::string id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const std::string other = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
const std::string pod = "pod0f8e0b1a-2b3c-4d5e-8f90-a1b2c3d4e5f6";

}  // namespace

TEST_CASE("container: the id in what runtimes and drivers write", "[unit]") {
    const std::string slice =
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0f8e0b1a_2b3c.slice/";
    for (const std::string& path : {
             "/docker/" + id,
             "/system.slice/docker-" + id + ".scope",
             slice + "cri-containerd-" + id + ".scope",
             slice + "crio-" + id + ".scope",
             "/kubepods/besteffort/" + pod + "/" + id,
             "/kubepods/" + pod + "/crio-" + id,
             "/machine.slice/libpod-" + id + ".scope",
             "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id + ".scope/container",
             "/libpod_parent/libpod-" + id,
             // containerd without a CRI plugin that knows of systemd
             "/system.slice/containerd.service/kubepods-besteffort-pod0f8e0b1a_2b3c.slice:cri-containerd:" +
                 id,
             "/ecs/0a1b2c3d4e5f/" + id,
             // what the container made of its own
             "/docker/" + id + "/init.scope",
             "/docker/" + id + "/system.slice/nginx.service",
             "docker-" + id + ".scope",
             id,
         }) {
        INFO(path);
        CHECK(container_id_of(path) == id);
    }
}

TEST_CASE("container: the innermost one", "[unit]") {
    CHECK(container_id_of("/docker/" + other + "/kubepods/besteffort/" + pod + "/" + id) == id);
    CHECK(container_id_of("/docker/" + other + "/docker/" + id + "/init.scope") == id);
}

TEST_CASE("container: the id points into the path", "[unit]") {
    const std::string path = "/system.slice/docker-" + id + ".scope";
    CHECK(container_id_of(path).data() == path.data() + path.find(id));
}

TEST_CASE("container: paths of none", "[unit]") {
    for (const std::string& path : {
             std::string(),
             std::string("/"),
             std::string("//"),
             std::string("/system.slice/ssh.service"),
             std::string("/user.slice/user-1000.slice/session-3.scope"),
             "/kubepods/besteffort/" + pod,                    // the pod's, not a container's
             "/docker/" + id.substr(1),                        // 63 digits
             "/docker/" + id + "0",                            // 65
             "/docker/" + std::string(64, 'g'),                // not hex
             "/docker/" + id.substr(0, 63) + "A",              // runtimes write small letters
             "/docker/x" + id,                                 // glued to something else
             "/machine.slice/libpod-conmon-" + id + ".scope",  // the monitor is outside
             "/system.slice/crio-conmon-" + id + ".scope",
             "/system.slice/" + id + ".service",  // podman's health check
             "/system.slice/var-lib-docker-overlay2-" + id + "-merged.mount",
             "/docker-" + id + ".scope.d",
         }) {
        INFO(path);
        CHECK(container_id_of(path).empty());
    }
}

TEST_CASE("container: the monitor of one that runs in another belongs to the other", "[unit]") {
    CHECK(container_id_of("/docker/" + other + "/libpod-conmon-" + id + ".scope") == other);
}

TEST_CASE("container: the runtime, where the path tells", "[unit]") {
    const struct {
        std::string path, runtime;
    } tests[] = {
        {"/docker/" + id, "docker"},
        {"/docker/" + id + "/init.scope", "docker"},
        {"/system.slice/docker-" + id + ".scope", "docker"},
        {"/machine.slice/libpod-" + id + ".scope/container", "podman"},
        {"/libpod_parent/libpod-" + id, "podman"},
        {"/kubepods.slice/kubepods-pod0f8e0b1a_2b3c.slice/cri-containerd-" + id + ".scope", "containerd"},
        {"/system.slice/containerd.service/kubepods-pod0f8e0b1a_2b3c.slice:cri-containerd:" + id,
         "containerd"},
        {"/user.slice/nerdctl-" + id + ".scope", "containerd"},
        {"/kubepods/" + pod + "/crio-" + id, "cri-o"},
        // The innermost one.
        {"/docker/" + other + "/machine.slice/libpod-" + id + ".scope", "podman"},
        {"/docker/" + other + "/kubepods/besteffort/" + pod + "/" + id, ""},
        // Anybody's.
        {"/kubepods/besteffort/" + pod + "/" + id, ""},
        {"/ecs/0a1b2c3d4e5f/" + id, ""},
        {"/docker", ""},
        {"", ""},
    };
    for (const auto& [path, runtime] : tests) {
        INFO(path);
        CHECK(container_runtime_of(path) == runtime);
    }
}
