// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/overflow.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "bpf/abi/control.h"

namespace tcptrail::capture {

namespace {

// The programs compare before they take a place: on every processor at once they may take one too many.
constexpr uint64_t most_processors = 8192;
constexpr int most_tries = 100;

uint64_t load(const __u64& word) {
    return __atomic_load_n(&word, __ATOMIC_ACQUIRE);
}

void store(__u64& word, uint64_t value) {
    __atomic_store_n(&word, value, __ATOMIC_RELEASE);
}

// Of every layout it is the first member. 0: what was to be told here was told by another witness.
bool is_given_up(std::span<const std::byte> record) {
    uint16_t version = 0;
    std::memcpy(&version, record.data(), std::min(sizeof version, record.size()));
    return version == 0;
}

}  // namespace

Overflow::Overflow(tcptrail_control& control)
    : control_(&control), released_(load(control.overflow_released)), next_(released_), end_(next_) {}

Result<> Overflow::add(Fd map, std::optional<RecordTranslations> translations) {
    bpf_map_info info{};
    uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(map.get(), &info, &length) != 0) return fail_errno("the overflow", errno);
    if (std::ranges::find(maps_, info.id, &Map::id) != maps_.end()) return {};
    maps_.push_back({std::move(map), info.id, std::move(translations)});
    value_.resize(std::max<size_t>(value_.size(), info.value_size));
    most_ += info.max_entries + most_processors;
    return {};
}

uint64_t Overflow::taken() const {
    return load(control_->overflow_taken);
}

uint64_t Overflow::used() const {
    return is_plausible() ? taken() - released_ : most_;
}

uint64_t Overflow::unread_at_most() const {
    return is_plausible() ? taken() - next_ : most_;
}

bool Overflow::is_plausible() const {
    return load(control_->overflow_released) == released_ && taken() - next_ <= most_;
}

// Another program wrote to the control map. The places behind what was read are in the maps.
void Overflow::mend() {
    uint64_t end = next_;
    for (const Map& map : maps_) {
        uint64_t place = 0;
        for (const uint64_t* before = nullptr; bpf_map_get_next_key(map.fd.get(), before, &place) == 0;
             before = &place)
            if (place - next_ <= most_) end = std::max(end, place + 1);
    }
    store(control_->overflow_released, released_);
    store(control_->overflow_finished, end);
    store(control_->overflow_taken, end);
}

bool Overflow::look() {
    if (!is_plausible()) mend();
    // In this order: what was finished when as many had been taken was all.
    const uint64_t finished = load(control_->overflow_finished), taken = this->taken();
    if (finished != taken || taken == next_) return false;
    end_ = taken;
    return true;
}

std::optional<Overflow::Record> Overflow::next() {
    while (next_ < end_) {
        const uint64_t place = next_++;
        for (const Map& map : maps_) {
            if (bpf_map_lookup_elem(map.fd.get(), &place, value_.data()) != 0) continue;
            const std::span bytes(value_.data(), map.translations ? map.translations->whole.from_bytes()
                                                                  : sizeof(tcptrail_record));
            if (is_given_up(bytes)) break;
            return Record{bytes, map.translations};
        }
    }
    return std::nullopt;
}

void Overflow::seek(uint64_t position) {
    if (position >= released_ && position <= taken()) next_ = end_ = position;
}

void Overflow::remove(uint64_t place) const {
    for (const Map& map : maps_)
        for (int tries = 0; tries < most_tries; ++tries) {
            if (bpf_map_delete_elem(map.fd.get(), &place) == 0) return;
            if (errno == ENOENT) break;  // else its bucket is busy
        }
}

// Deleted first: whoever is killed in between deletes them again.
void Overflow::release(uint64_t position) {
    if (position <= released_) return;
    for (uint64_t place = released_; place < position; ++place)
        remove(place);
    released_ = position;
    store(control_->overflow_released, position);
}

}  // namespace tcptrail::capture
