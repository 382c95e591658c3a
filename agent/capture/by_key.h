// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "agent/base/error.h"
#include "agent/capture/iterator.h"
#include "agent/capture/slots.h"

namespace tcptrail::capture {

// What run_iterator() does over a hash, on a kernel that refuses iterators over maps: the program is run for
// each key. It reads key and value where they are written to, in memory that it shares with us, and
// answers how many bytes it has written to `element`.
struct ByKey {
    int program;
    std::span<std::byte> key, value;
    const std::byte* element;
    size_t element_size;
};

// `name` is for the error; the rest is as in run_iterator(). False: `between` has ended the walk.
Result<bool> run_by_key(const ByKey& by_key, int map, const char* name, const ElementConsumer& consumer,
                        const BetweenReads& between = nullptr);
// The same for each slot that is filled (bpf/maps.bpf.h).
Result<bool> run_by_slot(const ByKey& by_key, const Slots& slots, const char* name,
                         const ElementConsumer& consumer, const BetweenReads& between = nullptr);

}  // namespace tcptrail::capture
