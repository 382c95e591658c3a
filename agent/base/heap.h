// SPDX-License-Identifier: Apache-2.0
//
// What the C library's allocator keeps of what was freed. By default each thread gets a heap of its own,
// whose end is hardly ever given back to the kernel: after a burst that is many times what is in use.
#pragma once

namespace tcptrail {

// One heap for all threads, from now on: to be called before there are any. The capture thread hardly
// allocates, and librdkafka's threads do it by the batch, so that they do not meet.
void share_one_heap();

// Gives the kernel back what is free: some milliseconds when that is much.
void trim_heap();

}  // namespace tcptrail
