// SPDX-License-Identifier: Apache-2.0
//
// The layout is the kernel's (kernel/bpf/ringbuf.c): a page that holds the consumer's position, a page that
// holds the producer's, then the data, mapped twice in a row so that a record never wraps; of the second we
// map the beginning. Each record has a header of eight bytes, its length with two flags in front, and is
// aligned to eight.
#include "agent/capture/ring.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

namespace tcptrail::capture {

namespace {

constexpr uint64_t header_bytes = BPF_RINGBUF_HDR_SZ;
// Of any version. As much of the second copy of the data is mapped: its pages all count as ours, twice.
constexpr uint64_t longest_record = 64u << 10;

// Acquire and release pair with the kernel's smp_store_release() and smp_load_acquire() of the same words.
template <class Value>
Value load(const std::byte* at) {
    return __atomic_load_n(reinterpret_cast<const Value*>(at), __ATOMIC_ACQUIRE);
}

// From the first word of a header.
constexpr uint32_t length_in(uint32_t word) {
    return word & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
}

constexpr uint64_t whole_record(uint64_t length) {
    return (length + header_bytes + 7) / 8 * 8;
}

}  // namespace

Result<std::unique_ptr<Ring>> Ring::open(Fd map) {
    std::unique_ptr<Ring> ring(new Ring);
    bpf_map_info info{};
    uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(map.get(), &info, &length) != 0) return fail_errno("the ring", errno);
    if (info.type != BPF_MAP_TYPE_RINGBUF) return fail("the ring is a map of another type");
    ring->map_ = std::move(map);
    ring->id_ = info.id;
    ring->bytes_ = info.max_entries;
    ring->page_ = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    const int fd = ring->map_.get();
    void* consumer = mmap(nullptr, ring->page_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (consumer == MAP_FAILED) return fail_errno("the ring cannot be mapped", errno);
    ring->consumer_ = static_cast<std::byte*>(consumer);
    void* producer = mmap(nullptr, ring->page_ + ring->bytes_ + ring->beyond(), PROT_READ, MAP_SHARED, fd,
                          static_cast<off_t>(ring->page_));
    if (producer == MAP_FAILED) return fail_errno("the ring cannot be mapped", errno);
    ring->producer_ = static_cast<const std::byte*>(producer);
    ring->position_ = ring->released();
    return ring;
}

Ring::~Ring() {
    if (consumer_) munmap(consumer_, page_);
    if (producer_) munmap(const_cast<std::byte*>(producer_), page_ + bytes_ + beyond());
}

uint64_t Ring::beyond() const {
    return std::min(bytes_, longest_record);
}

uint64_t Ring::produced() const {
    return load<unsigned long>(producer_);
}

uint64_t Ring::released() const {
    return load<unsigned long>(consumer_);
}

uint64_t Ring::used_bytes() const {
    return produced() - released();
}

uint64_t Ring::unread_at_most() const {
    uint64_t records = 0;
    const uint64_t end = produced();
    for (uint64_t at = position_; at < end; ++records)
        at += whole_record(length_in(load<uint32_t>(header_at(at))));
    return records;
}

const std::byte* Ring::header_at(uint64_t position) const {
    return producer_ + page_ + position % bytes_;
}

bool Ring::at_end() const {
    return position_ >= produced();
}

std::optional<std::span<const std::byte>> Ring::next() {
    const uint64_t end = produced();
    while (position_ < end) {
        const std::byte* header = header_at(position_);
        const auto word = load<uint32_t>(header);
        if (word & BPF_RINGBUF_BUSY_BIT) return std::nullopt;
        const uint32_t length = length_in(word);
        position_ += whole_record(length);
        if (!(word & BPF_RINGBUF_DISCARD_BIT)) return std::span(header + header_bytes, length);
    }
    return std::nullopt;
}

void Ring::seek(uint64_t position) {
    position_ = std::clamp(position, released(), produced());
}

void Ring::release(uint64_t position) {
    __atomic_store_n(reinterpret_cast<unsigned long*>(consumer_), position, __ATOMIC_RELEASE);
}

}  // namespace tcptrail::capture
