// SPDX-License-Identifier: Apache-2.0
//
// The end of a Spool, and what the next one in this process takes over.
#include <chrono>
#include <thread>
#include <utility>

#include "agent/base/clock.h"
#include "agent/spool/spool.h"

namespace tcptrail::spool {

uint64_t Leftover::events() const {
    uint64_t sum = 0;
    for (const MemoryBatch& batch : batches)
        sum += batch.events;
    return sum;
}

void Spool::take_over(Leftover leftover) {
    for (MemoryBatch& batch : leftover.batches)
        shared_->memory.add(std::move(batch));
    shared_->memory.add_released(leftover.released, leftover.too_large);
    dropped_ += leftover.dropped;
    if (!leftover.mark.empty() && leftover.mark != mark_) {
        mark_ = std::move(leftover.mark);
        mark_waits_ = true;
    }
    publish();
}

Leftover Spool::finish() {
    checkpointer_.reset();
    // The mark that waits is of what is left, too: it must not be written without that.
    if (!shared_ || std::exchange(finished_, true)) return {};
    // What had to wait is written now. The reader may still be in the way for a moment.
    retry_at_ns_ = 0;
    for (uint64_t began = monotonic_nanos();
         flush() && shared_->memory.sums().waiting_events > 0 && monotonic_nanos() - began < longest_turn_ns;)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (shared_->generation > 0) {
        MutexLock lock(shared_->mutex);
        (void)write_accounts(shared_->path, shared_->accounts);
    }
    const MemoryBuffer::Sums memory = shared_->memory.sums();
    Leftover left;
    left.batches = shared_->memory.take_out();
    left.mark = mark_;
    left.dropped = std::exchange(dropped_, 0);
    left.released = memory.released_events - ledger_.released_from_memory;
    left.too_large = memory.too_large_events - ledger_.too_large_from_memory;
    return left;
}

}  // namespace tcptrail::spool
