// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/overflow.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "agent/base/clock.h"
#include "bpf/abi/control.h"

namespace tcptrail::capture {

namespace {

// The programs compare before they take a place: on every processor at once they may take one too many.
constexpr uint64_t most_processors = 8192;
constexpr int most_tries = 100;
// A program takes a microsecond; one that may be preempted, some milliseconds.
constexpr uint64_t longest_wait_ns = 1'000'000'000;

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

// Another program wrote to the control map. What lies in the maps behind what was released is all that there
// is; what was put at other places meanwhile comes behind it.
void Overflow::mend() {
    uint64_t end = next_;
    std::vector<uint64_t> elsewhere;
    for (const Map& map : maps_) {
        uint64_t place = 0;
        for (const uint64_t* before = nullptr; bpf_map_get_next_key(map.fd.get(), before, &place) == 0;
             before = &place) {
            if (place - released_ > most_)
                elsewhere.push_back(place);
            else
                end = std::max(end, place + 1);
        }
    }
    for (const uint64_t place : elsewhere)
        move(place, end++);
    store(control_->overflow_released, released_);
    store(control_->overflow_finished, end);
    store(control_->overflow_taken, end);
}

void Overflow::move(uint64_t from, uint64_t to) {
    for (const Map& map : maps_)
        if (bpf_map_lookup_elem(map.fd.get(), &from, value_.data()) == 0 &&
            bpf_map_update_elem(map.fd.get(), &to, value_.data(), BPF_ANY) == 0)
            (void)bpf_map_delete_elem(map.fd.get(), &from);
}

// More were finished than taken, or some were taken long ago and never finished: no program does that.
bool Overflow::is_out_of_step(uint64_t finished, uint64_t taken) {
    if (static_cast<int64_t>(finished - taken) > 0) return true;
    const uint64_t now = monotonic_nanos();
    if (taken != waiting_taken_ || finished != waiting_finished_) {
        waiting_taken_ = taken;
        waiting_finished_ = finished;
        waiting_since_ns_ = now;
    }
    return now - waiting_since_ns_ > longest_wait_ns;
}

bool Overflow::look() {
    if (!is_plausible()) mend();
    uint64_t finished = 0, taken = 0;
    for (int tries = 0; tries < most_tries; ++tries) {
        // In this order: what was finished when as many had been taken was all.
        finished = load(control_->overflow_finished);
        taken = this->taken();
        if (finished != taken) continue;
        if (taken == next_) return false;
        end_ = taken;
        return true;
    }
    if (is_out_of_step(finished, taken)) mend();
    return false;
}

std::optional<Overflow::Record> Overflow::next() {
    error_ = 0;
    for (; next_ < end_; ++next_) {
        for (const Map& map : maps_) {
            if (bpf_map_lookup_elem(map.fd.get(), &next_, value_.data()) != 0) {
                if (errno == ENOENT) continue;
                error_ = errno;  // it is asked for again
                return std::nullopt;
            }
            const std::span bytes(value_.data(), map.translations ? map.translations->whole.from_bytes()
                                                                  : sizeof(tcptrail_record));
            if (is_given_up(bytes)) break;
            ++next_;
            return Record{bytes, map.translations};
        }
    }
    return std::nullopt;
}

// Where the earlier reader of the same run was further than the words say, these were written over.
void Overflow::seek(uint64_t position) {
    if (position > taken())
        released_ = next_ = end_ = position;
    else if (position >= released_)
        next_ = end_ = position;
}

void Overflow::remove(uint64_t place) const {
    for (const Map& map : maps_)
        for (int tries = 0; tries < most_tries; ++tries) {
            if (bpf_map_delete_elem(map.fd.get(), &place) == 0) return;
            // Else its bucket is busy.
            if (errno != EBUSY && errno != EAGAIN && errno != EDEADLK && errno != ETIMEDOUT) break;
        }
}

// Deleted first: whoever is killed in between deletes them again.
void Overflow::release(uint64_t position) {
    if (position <= released_) return;
    for (uint64_t place = std::max(released_, position - std::min(position, most_)); place < position;
         ++place)
        remove(place);
    released_ = position;
    store(control_->overflow_released, position);
}

void Overflow::forget_old_maps() {
    if (maps_.size() > 1) maps_.erase(maps_.begin(), maps_.end() - 1);
}

}  // namespace tcptrail::capture
