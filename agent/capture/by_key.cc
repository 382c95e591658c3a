// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/by_key.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

namespace tcptrail::capture {

namespace {

// Small: a value is as old as its batch. A bucket of the hash has to fit, else the kernel asks for more.
constexpr uint32_t first_batch = 64;
constexpr uint32_t largest_batch = 65536;

Result<> run_one(const ByKey& by_key, const void* key, const void* value, const char* name,
                 const ElementConsumer& consumer) {
    std::memcpy(by_key.key.data(), key, by_key.key.size());
    std::memcpy(by_key.value.data(), value, by_key.value.size());
    bpf_test_run_opts run{};
    run.sz = sizeof run;
    if (bpf_prog_test_run_opts(by_key.program, &run) != 0)
        return fail_errno(std::string(name) + ": cannot run", errno);
    if (consumer && run.retval == by_key.element_size) consumer({by_key.element, by_key.element_size});
    return {};
}

}  // namespace

Result<bool> run_by_key(const ByKey& by_key, int map, const char* name, const ElementConsumer& consumer,
                        const BetweenReads& between) {
    uint32_t batch = first_batch, place = 0;
    bool begun = false;
    std::vector<std::byte> keys, values;
    while (true) {
        keys.resize(batch * by_key.key.size());
        values.resize(batch * by_key.value.size());
        uint32_t count = batch, next = 0;
        const int error = bpf_map_lookup_batch(map, begun ? &place : nullptr, &next, keys.data(),
                                               values.data(), &count, nullptr) == 0
                              ? 0
                              : errno;
        if (error == ENOSPC && batch < largest_batch) {
            batch *= 2;
            continue;
        }
        if (error && error != ENOENT) return fail_errno(std::string(name) + ": cannot read the map", error);
        for (size_t i = 0; i < count; ++i)
            if (auto ran = run_one(by_key, keys.data() + i * by_key.key.size(),
                                   values.data() + i * by_key.value.size(), name, consumer);
                !ran)
                return std::unexpected(std::move(ran.error()));
        if (error == ENOENT) return true;  // that was the last one
        begun = true;
        place = next;
        if (!between) continue;
        const auto go_on = between();
        if (!go_on || !*go_on) return go_on;
    }
}

Result<bool> run_by_slot(const ByKey& by_key, const Slots& slots, const char* name,
                         const ElementConsumer& consumer, const BetweenReads& between) {
    tcptrail_slot slot;
    uint32_t since = 0;
    for (uint32_t place = 0; place < slots.size(); ++place) {
        if (!slots.read(place, slot)) continue;
        if (auto ran = run_one(by_key, &slot.key, &slot.birth, name, consumer); !ran)
            return std::unexpected(std::move(ran.error()));
        if (!between || ++since % first_batch != 0) continue;
        const auto go_on = between();
        if (!go_on || !*go_on) return go_on;
    }
    return true;
}

}  // namespace tcptrail::capture
