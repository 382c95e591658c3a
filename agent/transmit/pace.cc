// SPDX-License-Identifier: Apache-2.0
#include "agent/transmit/pace.h"

#include <algorithm>
#include <utility>

namespace tcptrail::transmit {
namespace {

// Measuring anew costs a part of a round trip: not more than one in so many.
constexpr int round_trips_per_interval = 20;
// Of what would have to change at once: what is done now shows a round trip later.
constexpr double gain = 0.5;
constexpr double largest_step = 0.5;
// In a row: then the link has become better.
constexpr unsigned rounds_to_double_again = 4;
constexpr unsigned rounds_to_refill = 4;

double seconds(Pace::Duration duration) {
    return std::chrono::duration<double>(duration).count();
}

}  // namespace

Pace::Duration Pace::shortest() const {
    const Duration shortest = std::min(shortest_, shortest_before_);
    return shortest == unknown ? Duration::zero() : shortest;
}

// What a queue is to add.
Pace::Duration Pace::target(Duration shortest) {
    return std::max(queueing, shortest / 8);
}

// Less than the link itself holds, so that there is no queue.
uint64_t Pace::drained_bytes() const {
    const double base = seconds(shortest_before_);
    const double held = static_cast<double>(budget_) * base / (base + seconds(target(shortest_before_)));
    return std::max(static_cast<uint64_t>(held * 3 / 4), least_bytes);
}

void Pace::measure(Clock::time_point sent, Clock::time_point now, uint64_t on_the_way) {
    if (now - interval_began_ >= std::max(shortest_interval, round_trips_per_interval * shortest())) {
        if (shortest_ != unknown) {
            shortest_before_ = std::exchange(shortest_, unknown);
            draining_ = round_.full;
            drained_at_ = Clock::time_point::max();
        }
        interval_began_ = now;
    }
    if (draining_) {
        // The last message that was sent may have gone a little beyond.
        if (on_the_way <= drained_bytes() / 8 * 9) drained_at_ = std::min(drained_at_, now);
        // The first that was sent when there was no queue.
        draining_ = sent < drained_at_;
        rounds_to_refill_ = rounds_to_refill;
    }
    shortest_ = std::min(shortest_, now - sent);
}

void Pace::acknowledged(Clock::time_point sent, Clock::time_point now, uint64_t on_the_way) {
    measure(sent, now, on_the_way);
    // The shortest of a round: what is sent at once queues behind itself.
    round_.shortest = std::min(round_.shortest, now - sent);
    round_.full = round_.full || on_the_way >= budget_ / 2;
    if (sent < round_.began) return;
    if (!draining_) end_round();
    round_ = {.began = now, .shortest = unknown, .full = false};
}

void Pace::end_round() {
    if (rounds_to_refill_ > 0) {
        rounds_to_refill_--;
        return;
    }
    const Duration queued = round_.shortest - shortest(), wanted_queue = target(shortest());
    rounds_without_queue_ = queued < wanted_queue / 8 ? rounds_without_queue_ + 1 : 0;
    doubling_ = queued < wanted_queue / 4 && (doubling_ || rounds_without_queue_ >= rounds_to_double_again);
    const double off = gain * seconds(wanted_queue - queued) / seconds(wanted_queue + shortest());
    const double step = doubling_ ? 1 : std::clamp(off, -largest_step, largest_step);
    // Whether more would do is not known where not all was used.
    if (step > 0 && !round_.full) return;
    const auto wanted = static_cast<uint64_t>(static_cast<double>(budget_) * (1 + step));
    budget_ = std::clamp(wanted, least_bytes, most_bytes);
}

}  // namespace tcptrail::transmit
