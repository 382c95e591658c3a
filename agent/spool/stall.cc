// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/stall.h"

#include "agent/base/clock.h"

namespace tcptrail::spool {

Stall::Stall(uint64_t longest_wait_ns) : longest_wait_ns_(longest_wait_ns), flows_since_ns_(boot_nanos()) {}

void Stall::begin_file(uint64_t highest_id, uint64_t now_ns) {
    waiting_.clear();
    if (highest_id > 0) committed(highest_id, now_ns);
}

void Stall::committed(uint64_t id, uint64_t now_ns) {
    waiting_.push_back({id, now_ns});
}

void Stall::look(uint64_t claimed_id, uint64_t in_memory_since_ns, uint64_t now_ns) {
    while (!waiting_.empty() && waiting_.front().id <= claimed_id)
        waiting_.pop_front();
    // What is in memory came later.
    const uint64_t since = waiting_.empty() ? in_memory_since_ns : waiting_.front().at_ns;
    if (since == 0) {
        if (stalled_) flows_since_ns_ = boot_nanos();
        stalled_ = false;
    } else if (now_ns - since > longest_wait_ns_) {
        stalled_ = true;
    }
}

}  // namespace tcptrail::spool
