// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "agent/base/clock.h"

namespace tcptrail::spool {

// Unix time that no step of the wall clock moves: as it was at the start, and from there by CLOCK_BOOTTIME.
// So nothing becomes old at once, and what is appended later has a later time.
class SteadyTime {
public:
    SteadyTime() : SteadyTime(unix_nanos(), boot_nanos()) {}
    SteadyTime(uint64_t unix_nanos, uint64_t boot_nanos) : unix_(unix_nanos), boot_(boot_nanos) {}

    // From now on it is no earlier than this, which an earlier process has written: the wall clock was set
    // back.
    void begin_at(uint64_t unix_nanos) { unix_ = std::max(unix_, unix_nanos); }
    uint64_t now() const { return at(boot_nanos()); }
    uint64_t at(uint64_t boot_nanos) const { return unix_ + (boot_nanos - boot_); }

private:
    uint64_t unix_;
    uint64_t boot_;
};

}  // namespace tcptrail::spool
