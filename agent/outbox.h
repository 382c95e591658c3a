// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "agent/encode/message.h"

namespace tcptrail {

// Messages that wait for the spool. The memory of those that went there is used again: under load nothing is
// allocated for a message, and what one burst took is given back at the next clear() that had less.
class Outbox {
public:
    void add(const Message& message) {
        if (size_ == slots_.size())
            slots_.push_back(message);
        else
            slots_[size_] = message;
        ++size_;
    }
    std::span<const Message> messages() const { return {slots_.data(), size_}; }
    size_t size() const { return size_; }
    void clear() {
        const size_t kept = size_ < few ? few : size_;
        if (slots_.size() > 2 * kept) {
            slots_.resize(kept);
            slots_.shrink_to_fit();
        }
        size_ = 0;
    }

private:
    static constexpr size_t few = 64;

    std::vector<Message> slots_;
    size_t size_ = 0;
};

}  // namespace tcptrail
