// SPDX-License-Identifier: Apache-2.0
//
// What the C library's allocator keeps of what was freed. By default each thread gets a heap of its own,
// whose end is hardly ever given back to the kernel: after a burst that is many times what is in use.
#pragma once

#include <chrono>

namespace tcptrail {

// One heap for all threads, from now on: to be called before there are any. The capture thread hardly
// allocates, and librdkafka's threads do it by the batch, so that they do not meet.
void share_one_heap();

// Gives the kernel back what is free: some milliseconds when that is much. After the start, which reads the
// kernel's types, and then from time to time.
void trim_heap();
inline constexpr auto trim_interval = std::chrono::seconds(10);

}  // namespace tcptrail
