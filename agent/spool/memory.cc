// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/memory.h"

#include <algorithm>
#include <utility>

namespace tcptrail::spool {

void MemoryBuffer::Sums::enter(const MemoryBatch& batch) {
    waiting_events += batch.events;
    held_events += batch.events;
    held_bytes += batch.payload.size();
    if (batch.lane == Lane::backlog) backlog_batches++;
}

void MemoryBuffer::Sums::leave(const MemoryBatch& batch) {
    held_events -= batch.events;
    held_bytes -= batch.payload.size();
    if (batch.lane == Lane::backlog) backlog_batches--;
}

void MemoryBuffer::add(MemoryBatch batch) {
    MutexLock lock(mutex_);
    sums_.enter(batch);
    entries_.push_back({std::move(batch)});
}

uint64_t MemoryBuffer::bound(uint64_t bytes) {
    MutexLock lock(mutex_);
    uint64_t dropped = 0;
    for (auto entry = entries_.begin(); entry != entries_.end() && sums_.held_bytes > bytes;) {
        if (entry->taken_id != 0) {
            ++entry;
            continue;
        }
        dropped += entry->batch.events;
        sums_.waiting_events -= entry->batch.events;
        sums_.leave(entry->batch);
        entry = entries_.erase(entry);
    }
    return dropped;
}

MemoryBuffer::Sums MemoryBuffer::sums() const {
    MutexLock lock(mutex_);
    return sums_;
}

uint64_t MemoryBuffer::waiting_since(Lane lane) const {
    MutexLock lock(mutex_);
    const auto oldest = std::ranges::find_if(entries_, [&](const Entry& entry) { return entry.waits(lane); });
    return oldest == entries_.end() ? 0 : oldest->batch.appended_ns;
}

bool MemoryBuffer::has_taken() const {
    MutexLock lock(mutex_);
    return std::ranges::any_of(entries_, [](const Entry& entry) { return entry.taken_id != 0; });
}

void MemoryBuffer::close() {
    MutexLock lock(mutex_);
    open_ = false;
    for (Entry& entry : entries_)
        entry.in_transaction = false;
}

void MemoryBuffer::each_waiting(const std::function<bool(const MemoryBatch&)>& write) {
    MutexLock lock(mutex_);
    for (Entry& entry : entries_) {
        if (entry.taken_id != 0) continue;
        // What is given back from now on is not part of it.
        entry.in_transaction = true;
        if (!write(entry.batch)) return;
    }
}

bool MemoryBuffer::written() {
    MutexLock lock(mutex_);
    return std::erase_if(entries_, [this](const Entry& entry) {
               if (!entry.in_transaction) return false;
               sums_.waiting_events -= entry.batch.events;
               sums_.leave(entry.batch);
               return true;
           }) > 0;
}

void MemoryBuffer::open() {
    MutexLock lock(mutex_);
    open_ = true;
}

bool MemoryBuffer::is_open() const {
    MutexLock lock(mutex_);
    return open_;
}

std::optional<MemoryBuffer::Taken> MemoryBuffer::take(Lane lane, uint64_t max_bytes) {
    MutexLock lock(mutex_);
    if (!open_) return std::nullopt;
    const auto oldest = std::ranges::find_if(entries_, [&](const Entry& entry) { return entry.waits(lane); });
    if (oldest == entries_.end()) return std::nullopt;
    const uint64_t bytes = oldest->batch.payload.size();
    if (taken_bytes_ > 0 && taken_bytes_ + bytes > max_bytes) return std::nullopt;
    oldest->taken_id = ++last_id_;
    sums_.waiting_events -= oldest->batch.events;
    taken_bytes_ += bytes;
    return Taken{oldest->taken_id, oldest->batch};
}

void MemoryBuffer::release(uint64_t id) {
    MutexLock lock(mutex_);
    const auto found = std::ranges::find(entries_, id, &Entry::taken_id);
    if (found == entries_.end()) return;
    sums_.leave(found->batch);
    sums_.released_events += found->batch.events;
    sums_.too_large_events += found->too_large;
    taken_bytes_ -= found->batch.payload.size();
    entries_.erase(found);
}

void MemoryBuffer::set_aside(uint64_t id) {
    MutexLock lock(mutex_);
    const auto found = std::ranges::find(entries_, id, &Entry::taken_id);
    if (found != entries_.end()) found->too_large++;
}

void MemoryBuffer::give_back() {
    MutexLock lock(mutex_);
    for (Entry& entry : entries_) {
        if (std::exchange(entry.taken_id, 0) != 0) sums_.waiting_events += entry.batch.events;
        entry.too_large = 0;
    }
    taken_bytes_ = 0;
}

std::vector<MemoryBatch> MemoryBuffer::take_out() {
    MutexLock lock(mutex_);
    std::vector<MemoryBatch> batches;
    std::erase_if(entries_, [&](Entry& entry) {
        if (entry.taken_id != 0) return false;
        sums_.waiting_events -= entry.batch.events;
        sums_.leave(entry.batch);
        batches.push_back(std::move(entry.batch));
        return true;
    });
    return batches;
}

void MemoryBuffer::add_released(uint64_t events, uint64_t too_large) {
    MutexLock lock(mutex_);
    sums_.released_events += events;
    sums_.too_large_events += too_large;
}

}  // namespace tcptrail::spool
