// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/slots.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <sys/mman.h>

#include <bit>
#include <cerrno>
#include <utility>

namespace tcptrail::capture {

namespace {

uint64_t key_of(const tcptrail_slot& slot) {
    return __atomic_load_n(&slot.key, __ATOMIC_ACQUIRE);
}

}  // namespace

uint32_t slot_shift(uint32_t size) {
    return static_cast<uint32_t>(33 - std::bit_width(size));
}

Result<Slots> Slots::open(int map) {
    bpf_map_info info{};
    uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(map, &info, &length) != 0) return fail_errno("the map of slots", errno);
    if (info.value_size != sizeof(tcptrail_slot)) return fail("the map of slots is of another version");
    void* mapped = mmap(nullptr, info.max_entries * sizeof(tcptrail_slot), PROT_READ, MAP_SHARED, map, 0);
    if (mapped == MAP_FAILED) return fail_errno("the map of slots cannot be mapped", errno);
    Slots slots;
    slots.size_ = info.max_entries;
    slots.slots_ = static_cast<const tcptrail_slot*>(mapped);
    return slots;
}

Slots::Slots(Slots&& other) noexcept
    : size_(std::exchange(other.size_, 0)), slots_(std::exchange(other.slots_, nullptr)) {}

Slots::~Slots() {
    if (slots_) munmap(const_cast<tcptrail_slot*>(slots_), size_ * sizeof(tcptrail_slot));
}

bool Slots::read(uint32_t place, tcptrail_slot& to) const {
    const tcptrail_slot& slot = slots_[place];
    const uint64_t key = key_of(slot);
    if (key == 0 || key == TCPTRAIL_SLOT_TAKEN) return false;
    to = slot;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    to.key = key;
    return key_of(slot) == key;
}

bool Slots::has(uint64_t key) const {
    const uint64_t product = uint32_t{static_cast<uint32_t>(key) * TCPTRAIL_SLOT_FACTOR};
    return key_of(slots_[product >> slot_shift(size_)]) == key;
}

}  // namespace tcptrail::capture
