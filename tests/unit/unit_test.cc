// SPDX-License-Identifier: Apache-2.0
#include "agent/context/unit.h"

#include <string>

#include "tests/catch.h"

using tcptrail::context::systemd_slice_of;
using tcptrail::context::systemd_unit_of;

namespace {

const std::string container = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

}  // namespace

TEST_CASE("unit: as systemd names its cgroups", "[unit]") {
    const struct {
        std::string path, unit;
    } tests[] = {
        {"/system.slice/nginx.service", "nginx.service"},
        {"/system.slice/nginx.service/worker", "nginx.service"},
        {"/system.slice/system-postgresql.slice/postgresql@15-main.service", "postgresql@15-main.service"},
        {"/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"},
        {"/system.slice/dbus.socket", "dbus.socket"},
        {"/system.slice/srv-data.mount", "srv-data.mount"},
        {"/system.slice/dev-mapper-a\\x2db.swap", "dev-mapper-a\\x2db.swap"},
        {"/init.scope", "init.scope"},
        {"/user.slice/user-1000.slice/session-3.scope", "session-3.scope"},
        {"/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox.service", "user@1000.service"},
        // An escape: a name that begins with "cgroup." or an underscore.
        {"/system.slice/_cgroup.service", "cgroup.service"},
        {"/system.slice/__a.service", "_a.service"},
        // What delegates to its own children, whatever they are called.
        {"/system.slice/k3s.service/kubepods/besteffort", "k3s.service"},
    };
    for (const auto& [path, unit] : tests) {
        INFO(path);
        CHECK(systemd_unit_of(path) == unit);
    }
}

TEST_CASE("unit: cgroups of none", "[unit]") {
    for (const std::string& path : {
             std::string(),
             std::string("/"),
             std::string("/system.slice"),
             std::string("/system.slice/"),
             std::string("/user.slice/user-1000.slice"),
             std::string("/.service"),
             std::string("/my service.service"),
             std::string("/plain/nginx.service"),
             std::string("/nginx.timer"),
             std::string("/a\n.service"),
             "/" + std::string(300, 'a') + ".service",
             // A container's: its id says it.
             "/docker/" + container,
             "/system.slice/docker-" + container + ".scope",
             "/machine.slice/libpod-" + container + ".scope/container",
             "/kubepods.slice/kubepods-pod8c1a2b3c_1111_2222_3333_444455556666.slice/cri-containerd-" +
                 container + ".scope",
         }) {
        INFO(path);
        CHECK(systemd_unit_of(path).empty());
    }
}

TEST_CASE("unit: the slice that it is in", "[unit]") {
    const struct {
        std::string path, slice;
    } tests[] = {
        {"/system.slice/nginx.service", "system.slice"},
        {"/system.slice/system-postgresql.slice/postgresql@15-main.service", "system-postgresql.slice"},
        {"/user.slice/user-1000.slice/session-3.scope", "user-1000.slice"},
        // Not one of the user's own manager.
        {"/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox.service", "user-1000.slice"},
        {"/machine.slice/libpod-" + container + ".scope/container", "machine.slice"},
        {"/system.slice/docker-" + container + ".scope/system.slice/nginx.service", "system.slice"},
        {"/system.slice", "system.slice"},
        {"//_a.slice//b.service", "a.slice"},
        {"", ""},
        {"/", ""},
        {"/init.scope", ""},
        {"/.slice/a.service", ""},
        {"/my shop.slice/a.service", ""},
        {"/docker/" + container + "/system.slice/nginx.service", ""},
        {"/" + std::string(300, 'a') + ".slice", ""},
    };
    for (const auto& [path, slice] : tests) {
        INFO(path);
        CHECK(systemd_slice_of(path) == slice);
    }
}
