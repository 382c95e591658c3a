// SPDX-License-Identifier: Apache-2.0
//
// Quantities in at most three or four digits, for people. Rounded to the nearest.
#pragma once

#include <cstdint>
#include <string>

namespace tcptrail::encode {

// 123us, 4.5ms, 123ms, 1.2s, 3m05s, 2h05m, 3d04h.
std::string human_duration(uint64_t us);

// 532, 1.4K, 123K, 2.1M: powers of 1024.
std::string human_bytes(uint64_t bytes);

// 532bit/s, 1.4kbit/s, 2.1Mbit/s: powers of 1000.
std::string human_bit_rate(uint64_t bits_per_second);

}  // namespace tcptrail::encode
