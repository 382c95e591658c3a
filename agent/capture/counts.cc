// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/counts.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <vector>

namespace tcptrail::capture {

Result<KernelCounts> read_counters(int map) {
    const int cpus = libbpf_num_possible_cpus();
    if (cpus < 0) return fail_errno("the number of CPUs", -cpus);
    KernelCounts sums;
    std::vector<uint64_t> values(static_cast<size_t>(cpus));
    for (uint32_t i = 0; i < TCPTRAIL_COUNTERS; ++i) {
        if (bpf_map_lookup_elem(map, &i, values.data()) < 0) return fail_errno("the map of counters", errno);
        for (const uint64_t value : values)
            sums.values[i] += value;
    }
    return sums;
}

Result<UntoldTotals> read_untold(int map) {
    const int cpus = libbpf_num_possible_cpus();
    if (cpus < 0) return fail_errno("the number of CPUs", -cpus);
    UntoldTotals totals;
    std::vector<tcptrail_untold> values(static_cast<size_t>(cpus));
    tcptrail_untold_key key{};
    const tcptrail_untold_key* previous = nullptr;
    while (bpf_map_get_next_key(map, previous, &key) == 0) {
        if (bpf_map_lookup_elem(map, &key, values.data()) == 0) {
            tcptrail_untold& sum = totals.emplace_back(key, tcptrail_untold{}).second;
            for (const tcptrail_untold& value : values) {
                sum.lifecycles += value.lifecycles;
                sum.bytes_sent += value.bytes_sent;
                sum.bytes_received += value.bytes_received;
            }
        }
        previous = &key;
    }
    if (errno != ENOENT) return fail_errno("the map of totals", errno);
    return totals;
}

}  // namespace tcptrail::capture
