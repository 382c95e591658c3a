// SPDX-License-Identifier: Apache-2.0
#include "agent/context/cgroup_births.h"

#include <poll.h>
#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <set>

#include "agent/context/cgroups.h"
#include "tests/catch.h"
#include "tests/unit/temporary_folder.h"

using namespace tcptrail::context;
namespace fs = std::filesystem;

namespace {

struct Told {
    std::map<std::string, uint64_t> born;
    std::set<std::string> gone;
    CgroupBirths::Handler handler() {
        return {[this](uint64_t id, const std::string& path) { born[path] = id; },
                [this](const std::string& path) { gone.insert(path); }};
    }
};

uint64_t inode_of(const std::string& path) {
    struct stat status{};
    REQUIRE(stat(path.c_str(), &status) == 0);
    return status.st_ino;
}

bool is_readable(int fd) {
    pollfd what{fd, POLLIN, 0};
    return poll(&what, 1, 0) == 1;
}

}  // namespace

TEST_CASE("cgroup births: what is there, what is made within it, what goes", "[unit]") {
    const tests::TemporaryFolder mount;
    fs::create_directories(mount.path() + "/kubepods/burstable");
    Told told;
    CgroupBirths births(mount.path(), told.handler());
    CHECK(told.born.size() == 3);
    CHECK(told.born.at("/") == inode_of(mount.path()));
    CHECK(told.born.at("/kubepods/burstable") == inode_of(mount.path() + "/kubepods/burstable"));
    CHECK_FALSE(is_readable(births.fd()));

    // Three at once: that of a pod, and of its containers, before anybody looks.
    fs::create_directories(mount.path() + "/kubepods/burstable/pod1/c1");
    fs::create_directories(mount.path() + "/kubepods/burstable/pod1/c2");
    CHECK(is_readable(births.fd()));
    births.look();
    CHECK(told.born.at("/kubepods/burstable/pod1/c2") ==
          inode_of(mount.path() + "/kubepods/burstable/pod1/c2"));
    CHECK(told.born.contains("/kubepods/burstable/pod1/c1"));

    fs::remove(mount.path() + "/kubepods/burstable/pod1/c1");
    births.look();
    CHECK(told.gone == std::set<std::string>{"/kubepods/burstable/pod1/c1"});
    fs::remove_all(mount.path() + "/kubepods/burstable/pod1");
    fs::create_directories(mount.path() + "/kubepods/burstable/pod1");
    births.look();
    CHECK(told.gone.contains("/kubepods/burstable/pod1"));
    CHECK(told.born.at("/kubepods/burstable/pod1") == inode_of(mount.path() + "/kubepods/burstable/pod1"));
}

TEST_CASE("cgroup births: files are none", "[unit]") {
    const tests::TemporaryFolder mount;
    Told told;
    CgroupBirths births(mount.path(), told.handler());
    fs::copy_file("/proc/self/comm", mount.path() + "/cgroup.procs");
    births.look();
    CHECK(told.born.size() == 1);
}

TEST_CASE("cgroups: one that is gone is known for a while", "[unit]") {
    const tests::TemporaryFolder mount;
    Cgroups cgroups(mount.path(), "/proc");
    REQUIRE(cgroups.births_fd() == -1);
    cgroups.watch_births();
    const std::string path = mount.path() + "/system.slice";
    fs::create_directory(path);
    const uint64_t id = inode_of(path);
    cgroups.look_for_births();
    fs::remove(path);
    cgroups.look_for_births();
    const Place* place = cgroups.place_of(id);
    REQUIRE(place);
    CHECK(place->cgroup_path == "/system.slice");
}
