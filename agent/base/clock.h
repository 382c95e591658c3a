// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tcptrail {

uint64_t boot_nanos();       // CLOCK_BOOTTIME: monotonic, counts suspend; what the kernel side stamps with
uint64_t monotonic_nanos();  // CLOCK_MONOTONIC
uint64_t unix_nanos();       // CLOCK_REALTIME

// What to add to a CLOCK_BOOTTIME stamp to get wall clock, as of now. It changes when somebody sets the
// clock, so a stamp is translated when its record is read, not later.
uint64_t boot_to_unix_offset();

}  // namespace tcptrail
