// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "agent/base/clock.h"

namespace tcptrail::spool {

// Unix time that no step of the wall clock moves: as it was at the start, and from there by CLOCK_BOOTTIME.
// So nothing becomes old at once, and what is appended later has a later time. Any thread; begin_at() and
// continue_from() before others use it.
class SteadyTime {
public:
    SteadyTime() : SteadyTime(unix_nanos(), boot_nanos()) {}
    SteadyTime(uint64_t unix_nanos, uint64_t boot_nanos) : at_boot_(unix_nanos - boot_nanos) {}

    // As another one of the same boot went: when its CLOCK_BOOTTIME began.
    void continue_from(uint64_t unix_nanos_at_boot) { at_boot_ = unix_nanos_at_boot; }
    uint64_t unix_nanos_at_boot() const { return at_boot_; }
    // From now on it is no earlier than this, which an earlier process has written: the wall clock was set
    // back.
    void begin_at(uint64_t unix_nanos, uint64_t boot_nanos) {
        at_boot_ = std::max<uint64_t>(at(boot_nanos), unix_nanos) - boot_nanos;
    }
    uint64_t now() const { return at(boot_nanos()); }
    uint64_t at(uint64_t boot_nanos) const { return at_boot_ + boot_nanos; }

private:
    std::atomic<uint64_t> at_boot_;
};

}  // namespace tcptrail::spool
