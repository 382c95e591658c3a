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

}  // namespace tcptrail::capture
