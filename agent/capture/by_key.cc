// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/by_key.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

namespace tcptrail::capture {

namespace {

// Small: a value is as old as its batch. A bucket of the hash has to fit, else the kernel asks for more.
constexpr uint32_t first_batch = 64;
constexpr uint32_t largest_batch = 65536;

}  // namespace

Result<> run_by_key(const ByKey& by_key, const char* name, const ElementConsumer& consumer,
                    const BetweenReads& between) {
    uint32_t batch = first_batch, place = 0;
    bool begun = false;
    std::vector<std::byte> keys, values;
    bpf_test_run_opts run{};
    run.sz = sizeof run;
    while (true) {
        keys.resize(batch * by_key.key.size());
        values.resize(batch * by_key.value.size());
        uint32_t count = batch, next = 0;
        const int error = bpf_map_lookup_batch(by_key.map, begun ? &place : nullptr, &next, keys.data(),
                                               values.data(), &count, nullptr) == 0
                              ? 0
                              : errno;
        if (error == ENOSPC && batch < largest_batch) {
            batch *= 2;
            continue;
        }
        if (error && error != ENOENT) return fail_errno(std::string(name) + ": cannot read the map", error);
        for (size_t i = 0; i < count; ++i) {
            std::copy_n(keys.data() + i * by_key.key.size(), by_key.key.size(), by_key.key.data());
            std::copy_n(values.data() + i * by_key.value.size(), by_key.value.size(), by_key.value.data());
            if (bpf_prog_test_run_opts(by_key.program, &run) != 0)
                return fail_errno(std::string(name) + ": cannot run", errno);
            if (consumer && run.retval == by_key.element_size)
                consumer({by_key.element, by_key.element_size});
        }
        if (error == ENOENT) return {};  // that was the last one
        begun = true;
        place = next;
        if (!between) continue;
        const auto go_on = between();
        if (!go_on) return std::unexpected(go_on.error());
        if (!*go_on) return {};
    }
}

}  // namespace tcptrail::capture
