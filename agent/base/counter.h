// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace tcptrail {

// A count that one thread adds to and any thread reads. Who reads a count sees at least what its thread had
// counted elsewhere before: of two counts the one that is written later is to be read first.
class Counter {
public:
    void add(uint64_t n = 1) {
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_release);
    }
    void set(uint64_t n) { value_.store(n, std::memory_order_release); }
    uint64_t get() const { return value_.load(std::memory_order_acquire); }

private:
    std::atomic<uint64_t> value_ = 0;
};

}  // namespace tcptrail
