// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/pins.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>

#include "tests/catch.h"

namespace tests {

void enter_private_mounts() {
    static const bool entered = [] {
        REQUIRE(unshare(CLONE_NEWNS) == 0);
        REQUIRE(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
        return true;
    }();
    REQUIRE(entered);
}

BpfFs::BpfFs(const std::filesystem::path& folder) : path_(folder / "bpf") {
    enter_private_mounts();
    std::filesystem::create_directory(path_);
    REQUIRE(mount("bpf", path_.c_str(), "bpf", 0, nullptr) == 0);
}

BpfFs::~BpfFs() {
    umount2(path_.c_str(), MNT_DETACH);
}

void BpfFs::make_read_only() const {
    REQUIRE(mount(nullptr, path_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0);
}

Finished detach(const BpfFs& bpffs) {
    return run({built("tcptrail"), "detach", "--set", bpffs.setting()});
}

}  // namespace tests
