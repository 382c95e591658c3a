// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace tcptrail::spool {

// Batches wait in one of two lanes, each in the order of appending. What is in the live lane goes first, so
// that what is behind an outage does not delay what happens now (README.md, "Two lanes").
enum class Lane : uint8_t { live, backlog };
inline constexpr Lane lanes[] = {Lane::live, Lane::backlog};  // in the order of delivery

// Batches of the live lane have ids from here on, those of the backlog smaller ones from 1.
inline constexpr uint64_t first_live_id = 1ull << 61;
constexpr uint64_t first_id(Lane lane) {
    return lane == Lane::live ? first_live_id : 1;
}
constexpr uint64_t last_possible_id(Lane lane) {
    return lane == Lane::live ? 2 * first_live_id - 1 : first_live_id - 1;
}
constexpr Lane lane_of(uint64_t id) {
    return id < first_live_id ? Lane::backlog : Lane::live;
}

template <typename T>
class PerLane {
public:
    T& operator[](Lane lane) { return values_[static_cast<size_t>(lane)]; }
    const T& operator[](Lane lane) const { return values_[static_cast<size_t>(lane)]; }
    bool operator==(const PerLane&) const = default;

private:
    std::array<T, 2> values_{};
};

}  // namespace tcptrail::spool
