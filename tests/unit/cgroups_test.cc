// SPDX-License-Identifier: Apache-2.0
//
// A tree of ordinary folders stands for cgroup2, and the capability for file handles is laid down: then
// the paths are found by walking, and the inode number of a folder is the id.
#include "agent/context/cgroups.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "agent/base/fd.h"
#include "tests/catch.h"
#include "tests/unit/no_handles.h"

namespace fs = std::filesystem;
using tcptrail::context::Cgroups;

namespace {

class Tree {
public:
    Tree() {
        char name[] = "/tmp/tcptrail-cgroups-XXXXXX";
        REQUIRE(mkdtemp(name) != nullptr);
        path_ = name;
    }
    ~Tree() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    Tree(const Tree&) = delete;
    Tree& operator=(const Tree&) = delete;

    uint64_t make(const std::string& folder) const {
        fs::create_directories(path_ + folder);
        return id(folder);
    }
    uint64_t id(const std::string& folder) const {
        struct stat status{};
        REQUIRE(stat((path_ + folder).c_str(), &status) == 0);
        return status.st_ino;
    }
    void write(const std::string& name, const std::string& content) const {
        fs::create_directories(fs::path(path_ + name).parent_path());
        std::ofstream(path_ + name) << content;
    }
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

// nullptr as text.
std::string path_or_none(Cgroups& cgroups, uint64_t id) {
    const auto* place = cgroups.place_of(id);
    return place ? place->cgroup_path : "(none)";
}

}  // namespace

TEST_CASE("cgroups: paths by id, without handles", "[unit]") {
    const NoHandles without;
    const Tree tree;
    const uint64_t pod = tree.make("/kubepods/burstable/pod1");
    const uint64_t container = tree.make("/kubepods/burstable/pod1/c1");
    const uint64_t ssh = tree.make("/system.slice/ssh.service");
    tree.write("/system.slice/cgroup.procs", "1\n");  // files are not cgroups
    Cgroups cgroups(tree.path(), "/nonexistent");
    CHECK(path_or_none(cgroups, tree.id("")) == "/");
    CHECK(path_or_none(cgroups, pod) == "/kubepods/burstable/pod1");
    CHECK(path_or_none(cgroups, container) == "/kubepods/burstable/pod1/c1");
    CHECK(path_or_none(cgroups, ssh) == "/system.slice/ssh.service");
    CHECK(path_or_none(cgroups, tree.id("/system.slice/cgroup.procs")) == "(none)");
    CHECK(path_or_none(cgroups, 0) == "(none)");
    CHECK(path_or_none(cgroups, ~uint64_t{0}) == "(none)");
}

TEST_CASE("cgroups: one that is gone is still known, a new one is found in time", "[unit]") {
    const NoHandles without;
    const Tree tree;
    const uint64_t old = tree.make("/old");
    Cgroups cgroups(tree.path(), "/nonexistent");
    REQUIRE(path_or_none(cgroups, old) == "/old");
    // A disk's file system would give its number to the next one, which that of cgroups does not.
    const tcptrail::Fd held(open((tree.path() + "/old").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    REQUIRE(held.valid());
    fs::remove(tree.path() + "/old");
    // Its last connections end after it.
    CHECK(path_or_none(cgroups, old) == "/old");

    const uint64_t fresh = tree.make("/fresh/inner");
    std::this_thread::sleep_for(std::chrono::milliseconds(1050));  // it walks once a second at most
    CHECK(path_or_none(cgroups, fresh) == "/fresh/inner");
}

TEST_CASE("cgroups: walks are rare", "[unit]") {
    const NoHandles without;
    const Tree tree;
    tree.make("/first");
    Cgroups cgroups(tree.path(), "/nonexistent");
    const auto before = std::chrono::steady_clock::now();
    REQUIRE(path_or_none(cgroups, tree.id("/first")) == "/first");
    const uint64_t second = tree.make("/second");
    const std::string found = path_or_none(cgroups, second);
    // A machine so busy that a second went by may walk again.
    if (std::chrono::steady_clock::now() - before < std::chrono::seconds(1)) CHECK(found == "(none)");
}

TEST_CASE("cgroups: the mount is looked up in self/mounts", "[unit]") {
    const NoHandles without;
    const Tree tree;
    const uint64_t inner = tree.make("/unified/inner");
    SECTION("a hybrid hierarchy") {
        tree.write("/proc/self/mounts",
                   "proc /proc proc rw,nosuid 0 0\n"
                   "tmpfs /sys/fs/cgroup tmpfs ro 0 0\n"
                   "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"
                   "cgroup2 " +
                       tree.path() + "/unified cgroup2 rw 0 0\n");
        Cgroups cgroups("", tree.path() + "/proc");
        CHECK(path_or_none(cgroups, inner) == "/inner");
    }
    SECTION("a path with white space and a backslash") {
        const uint64_t odd = tree.make("/a b\\c/inner");
        tree.write("/proc/self/mounts", "cgroup2 " + tree.path() + "/a\\040b\\134c cgroup2 rw 0 0\n");
        Cgroups cgroups("", tree.path() + "/proc");
        CHECK(path_or_none(cgroups, odd) == "/inner");
    }
    SECTION("only version 1") {
        tree.write("/proc/self/mounts", "cgroup " + tree.path() + "/unified cgroup rw,memory 0 0\n");
        Cgroups cgroups("", tree.path() + "/proc");
        CHECK(path_or_none(cgroups, inner) == "(none)");
    }
    SECTION("lines that are none") {
        tree.write("/proc/self/mounts", "\ncgroup2\ncgroup2 /only-two\n");
        Cgroups cgroups("", tree.path() + "/proc");
        CHECK(path_or_none(cgroups, inner) == "(none)");
    }
    SECTION("no such file") {
        Cgroups cgroups("", tree.path() + "/proc");
        CHECK(path_or_none(cgroups, inner) == "(none)");
    }
    SECTION("what is set wins") {
        tree.write("/proc/self/mounts", "cgroup2 /nonexistent cgroup2 rw 0 0\n");
        Cgroups cgroups(tree.path() + "/unified", tree.path() + "/proc");
        CHECK(path_or_none(cgroups, inner) == "/inner");
    }
}

TEST_CASE("cgroups: a mount that has controllers of version 1, too", "[unit]") {
    const NoHandles without;
    const Tree tree;
    tree.make("/memory/inner");
    const uint64_t inner = tree.make("/unified/inner");
    SECTION("beside version 2") {
        tree.write("/unified/cgroup.controllers", "");
        Cgroups cgroups(tree.path(), "/nonexistent");
        CHECK(path_or_none(cgroups, inner) == "/inner");
    }
    SECTION("a cgroup of version 2 that is called unified") {
        tree.write("/cgroup.controllers", "");
        tree.write("/unified/cgroup.controllers", "");
        Cgroups cgroups(tree.path(), "/nonexistent");
        CHECK(path_or_none(cgroups, inner) == "/unified/inner");
    }
}

TEST_CASE("cgroups: a mount that is not there", "[unit]") {
    Cgroups cgroups("/nonexistent/cgroup", "/nonexistent");
    CHECK(path_or_none(cgroups, 1) == "(none)");
}
