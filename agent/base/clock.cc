// SPDX-License-Identifier: Apache-2.0
#include "agent/base/clock.h"

#include <time.h>

namespace tcptrail {

namespace {

uint64_t read_clock(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);  // cannot fail with these clocks
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

uint64_t boot_nanos() {
    return read_clock(CLOCK_BOOTTIME);
}
uint64_t monotonic_nanos() {
    return read_clock(CLOCK_MONOTONIC);
}
uint64_t unix_nanos() {
    return read_clock(CLOCK_REALTIME);
}
uint64_t boot_to_unix_offset() {
    return unix_nanos() - boot_nanos();
}

}  // namespace tcptrail
