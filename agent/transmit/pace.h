// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

namespace tcptrail::transmit {

// How much may be on its way at a time, so that what comes next does not queue behind it for long, on a thin
// link as on a fast one. It measures how long acknowledgements take without a queue, and aims at a queue
// that adds `queueing` to that, or an eighth of it where that is more (there all times vary by more): with
// each round trip, by as much as it is off, as LEDBAT does (RFC 6817); where there is no queue it doubles, as
// TCP's slow start. From time to time it lets the queue drain, to measure anew. For one thread.
class Pace {
public:
    using Clock = std::chrono::steady_clock;
    using Duration = Clock::duration;

    static constexpr uint64_t least_bytes = 64u << 10;
    static constexpr uint64_t most_bytes = 8u << 20;
    static constexpr Duration queueing = std::chrono::milliseconds(200);
    static constexpr Duration shortest_interval = std::chrono::seconds(30);

    // Of what is on its way, in bytes of payload: below this more may be sent.
    uint64_t budget() const { return draining_ ? drained_bytes() : budget_; }
    // A message that was sent at `sent` was acknowledged; `on_the_way` bytes were, itself included.
    void acknowledged(Clock::time_point sent, Clock::time_point now, uint64_t on_the_way);
    // How long an acknowledgement takes without a queue, as far as it is known; 0: not at all.
    Duration shortest() const;

private:
    static constexpr Duration unknown = Duration::max();

    static Duration target(Duration shortest);
    uint64_t drained_bytes() const;
    void measure(Clock::time_point sent, Clock::time_point now, uint64_t on_the_way);
    void end_round();

    uint64_t budget_ = least_bytes;
    // Since a message was sent, until one that was sent later is acknowledged.
    struct Round {
        Clock::time_point began;
        Duration shortest = unknown;
        bool full = false;  // more would have been sent
    } round_;
    unsigned rounds_without_queue_ = 0;
    unsigned rounds_to_refill_ = 0;  // after the queue was drained: that there is none says nothing
    bool doubling_ = true;

    Duration shortest_ = unknown;         // in this interval
    Duration shortest_before_ = unknown;  // in the last one
    Clock::time_point interval_began_;
    Clock::time_point drained_at_;  // max(): not yet
    bool draining_ = false;
};

}  // namespace tcptrail::transmit
