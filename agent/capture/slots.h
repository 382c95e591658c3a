// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "agent/base/error.h"
#include "bpf/abi/record.h"

namespace tcptrail::capture {

// What the programs shift by where there are so many slots, a power of two that is at least two.
uint32_t slot_shift(uint32_t size);

// A look into the map `slots` of programs that run meanwhile, without a system call for each. For one thread.
class Slots {
public:
    // `map` is borrowed for the call.
    static Result<Slots> open(int map);
    Slots(Slots&& other) noexcept;
    Slots& operator=(Slots&&) = delete;
    ~Slots();

    uint32_t size() const { return size_; }
    // A copy of a birth that is stored there, with its key. False: there is none, or it was another's
    // meanwhile.
    bool read(uint32_t place, tcptrail_slot& to) const;
    // Whether the birth of this socket is stored in one.
    bool has(uint64_t key) const;

private:
    Slots() = default;
    uint32_t size_ = 0;
    const tcptrail_slot* slots_ = nullptr;
};

}  // namespace tcptrail::capture
