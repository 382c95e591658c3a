// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "agent/base/fd.h"
#include "agent/context/place.h"

namespace tcptrail::context {

// Cgroups (v2) by their id. Used by the capture thread alone.
class Cgroups {
public:
    // `mount` is where cgroup2 is mounted; empty: looked up in <proc>/self/mounts. Without any mount
    // all look-ups find nothing.
    Cgroups(const std::string& mount, const std::string& proc);

    // "/kubepods/…", "/" for the root; nullptr when it is not known: the cgroup is gone, or this is a
    // host without cgroup2. Valid until the next call.
    const Place* place_of(uint64_t id);

private:
    const Place* by_handle(uint64_t id);
    void walk();

    std::string mount_;
    Fd mount_fd_;
    bool handles_allowed_ = true;  // open_by_handle_at() needs CAP_DAC_READ_SEARCH
    uint64_t walked_ns_ = 0;
    std::unordered_map<uint64_t, Place> places_;
};

}  // namespace tcptrail::context
