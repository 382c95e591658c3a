// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>

#include "agent/base/fd.h"
#include "agent/context/cgroup_births.h"
#include "agent/context/place.h"

namespace tcptrail::context {

// Cgroups (v2) by their id. Used by the capture thread alone.
class Cgroups {
public:
    // `mount` is where cgroup2 is mounted, or has a folder `unified` where it is; empty: looked up in
    // <proc>/self/mounts. Without any mount all look-ups find nothing.
    Cgroups(const std::string& mount, const std::string& proc);

    // "/kubepods/…", "/" for the root; nullptr when it is not known: the cgroup is gone, or this is a
    // host without cgroup2. Valid until the next call.
    const Place* place_of(uint64_t id);
    // From now on each cgroup is known from its birth on, for a while after its end, too.
    void watch_births();
    // Readable when look_for_births() has something to do; -1: it never has.
    int births_fd() const { return births_ ? births_->fd() : -1; }
    void look_for_births();
    bool is_mounted() const { return mount_fd_.valid(); }

private:
    const Place* by_handle(uint64_t id);
    void walk();

    std::string mount_;
    Fd mount_fd_;
    bool handles_allowed_ = true;  // open_by_handle_at() needs CAP_DAC_READ_SEARCH
    uint64_t walked_ns_ = 0;
    std::unordered_map<uint64_t, Place> places_;
    std::unique_ptr<CgroupBirths> births_;
    std::unordered_map<std::string, uint64_t> living_;  // ids by path, of those whose birth was told
    struct Gone {
        uint64_t at_ns;
        uint64_t id;
    };
    std::deque<Gone> gone_;
};

}  // namespace tcptrail::context
