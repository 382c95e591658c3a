// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/births.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "bpf/abi/listener.h"
#include "bpf/abi/record.h"

namespace tcptrail::capture {

namespace {

// More than any bucket of the kernel's hash is going to hold.
constexpr uint32_t entries_at_once = 4096;

// Every entry of a map, as ours would be. Deletions meanwhile end no walk.
template <class Key, class Value>
Result<> for_each(int map, const Translation& translation,
                  const std::function<void(Key, const Value&)>& visit) {
    if (translation.to_bytes() != sizeof(Value)) return fail("a layout that is not ours");
    // What is told of a map may not fit it; the kernel writes what the map has.
    bpf_map_info info{};
    uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(map, &info, &length) != 0)
        return fail_errno("the map of the agent before", errno);
    if (info.key_size != sizeof(Key) || info.value_size != translation.from_bytes())
        return fail("the map of the agent before is of another layout than is told of it");
    std::vector<Key> keys(entries_at_once);
    std::vector<std::byte> values(entries_at_once * translation.from_bytes());
    uint32_t place = 0;
    for (bool first = true;; first = false) {
        uint32_t count = entries_at_once;
        const int error = bpf_map_lookup_batch(map, first ? nullptr : &place, &place, keys.data(),
                                               values.data(), &count, nullptr);
        if (error && errno != ENOENT) return fail_errno("the map of the agent before", errno);
        for (uint32_t i = 0; i < count; ++i) {
            Value value;
            translation.apply(
                std::span(values).subspan(i * translation.from_bytes(), translation.from_bytes()),
                std::as_writable_bytes(std::span(&value, 1)));
            visit(keys[i], value);
        }
        if (error) return {};
    }
}

template <class Value>
Result<> add_missing(int from, int to, const Translation& translation) {
    return for_each<uint64_t, Value>(from, translation, [&](uint64_t key, const Value& value) {
        (void)bpf_map_update_elem(to, &key, &value, BPF_NOEXIST);
    });
}

}  // namespace

Result<> take_over_births(const OldBirths& from, int to, const Slots& slots,
                          const std::function<void()>& switch_over) {
    // A child has no cookie in the first microseconds of its life; nobody could tell it from another by then.
    const auto copy = [&](uint64_t key, tcptrail_birth value) {
        if (!value.cookie || slots.has(key)) return;
        value.taken_over = 1;
        if (bpf_map_update_elem(to, &key, &value, BPF_NOEXIST) == 0) return;
        // Whoever has seen more of it is right; where it has ended since, there is nothing to update.
        tcptrail_birth ours{};
        if (bpf_map_lookup_elem(to, &key, &ours) == 0 && ours.cookie == value.cookie &&
            ours.timeline_len < value.timeline_len)
            (void)bpf_map_update_elem(to, &key, &value, BPF_EXIST);
    };
    const auto copy_slot = [&](uint32_t, const tcptrail_slot& slot) {
        if (slot.key != 0 && slot.key != TCPTRAIL_SLOT_TAKEN) copy(slot.key, slot.birth);
    };
    const auto copy_all = [&]() -> Result<> {
        if (from.slot)
            if (auto done = for_each<uint32_t, tcptrail_slot>(from.slots, *from.slot, copy_slot); !done)
                return done;
        return for_each<uint64_t, tcptrail_birth>(from.connections, from.birth, copy);
    };
    auto done = copy_all();
    switch_over();
    if (!done) return done;
    // A run of an old program that had begun takes microseconds, and cannot be preempted long.
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return copy_all();
}

Result<> take_over_listeners(int from, int to, const Translation& listener) {
    return add_missing<tcptrail_listener>(from, to, listener);
}

Result<> take_over_details(int from, int to, const Translation& details) {
    return add_missing<tcptrail_details>(from, to, details);
}

}  // namespace tcptrail::capture
