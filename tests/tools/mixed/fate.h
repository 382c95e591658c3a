// SPDX-License-Identifier: Apache-2.0
//
// What becomes of an attempt to connect. It is decided before the attempt is made.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mix {

enum class Fate : uint8_t {
    // Established. The client sends a request, which says what the server is to do.
    client_closes,
    client_shuts_down,  // after its request, and reads the answer then
    server_closes,
    client_resets,        // SO_LINGER 0, after the answer
    client_resets_early,  // without waiting for anybody to accept
    server_resets,        // SO_LINGER 0, instead of an answer
    server_leaves_unread,
    // Not established.
    refused,
    timed_out,
    unreachable,
    abandoned,
    no_local_port,
    denied,
};

constexpr size_t established_fates = 7;
constexpr size_t fates = 13;

constexpr bool is_established(Fate fate) {
    return static_cast<size_t>(fate) < established_fates;
}

constexpr bool is_answered(Fate fate) {
    return fate <= Fate::client_resets;
}

// Whether a SYN is sent, so that the kernel counts the attempt (ActiveOpens).
constexpr bool sends_syn(Fate fate) {
    return fate != Fate::unreachable && fate != Fate::no_local_port && fate != Fate::denied;
}

// The number makes an attempt unlike the others: it chooses its variety and, where it fails, an address and
// port that no other attempt of the run has.
struct Attempt {
    uint32_t number;
    Fate fate;

    bool non_blocking() const { return number >> 4 & 1; }
    bool second_variety() const { return number >> 5 & 1; }
    // How many bytes the answer has; the request has two more.
    uint8_t answer_bytes() const { return static_cast<uint8_t>(1 + (number >> 3) % 200); }
};

// The words that events have for it.
const char* name(Fate fate);
const char* client_end(Fate fate);
const char* server_end(Fate fate);

}  // namespace mix
