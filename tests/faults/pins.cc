// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/pins.h"

#include <bpf/bpf.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "agent/base/fd.h"
#include "bpf/abi/control.h"
#include "bpf/abi/record.h"
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

uint64_t remembered_of(std::span<const Truth> truths, const BpfFs& bpffs) {
    const auto is_theirs = [&](const tcptrail_birth& birth) {
        return std::ranges::any_of(truths, [&](const Truth& truth) {
            return birth.netns == truth.netns &&
                   (birth.owner.actor.pid == 0 || birth.owner.actor.pid == truth.pid);
        });
    };
    const tcptrail::Fd control_map(bpf_obj_get((bpffs.pins() / "control").c_str()));
    REQUIRE(control_map.valid());
    const uint32_t first = 0;
    tcptrail_control control{};
    REQUIRE(bpf_map_lookup_elem(control_map.get(), &first, &control) == 0);
    const std::filesystem::path maps = bpffs.pins() / std::to_string(control.last_generation);

    uint64_t count = 0;
    const tcptrail::Fd connections(bpf_obj_get((maps / "map_connections").c_str()));
    REQUIRE(connections.valid());
    tcptrail_birth birth{};
    uint64_t key = 0;
    for (const uint64_t* before = nullptr; bpf_map_get_next_key(connections.get(), before, &key) == 0;
         before = &key)
        if (bpf_map_lookup_elem(connections.get(), &key, &birth) == 0 && is_theirs(birth)) ++count;

    const tcptrail::Fd slots(bpf_obj_get((maps / "map_slots").c_str()));
    REQUIRE(slots.valid());
    tcptrail_slot slot{};
    for (uint32_t place = 0; bpf_map_lookup_elem(slots.get(), &place, &slot) == 0; ++place)
        if (slot.key != 0 && is_theirs(slot.birth)) ++count;
    return count;
}

}  // namespace tests
