// SPDX-License-Identifier: Apache-2.0
//
// What must hold between the times of any CLOSED record.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/kernel/event.h"

namespace tcptrail::test {

// The timeline against the expected states, with or without CLOSE at its end: begins at 0, never goes
// back, ends when the connection ended. One line per difference; empty if there is none.
std::string timeline_differences(const Event& event, const std::vector<std::string>& states);

// opened ≤ established ≤ ended ≤ emitted, all between `earliest` and `latest` (Unix nanoseconds), and
// connect_us, lifetime_us, idle_us, reset_us, retransmit_*_us consistent with them.
std::string time_differences(const Event& event, uint64_t earliest, uint64_t latest);

// When the record's timeline entered the state, microseconds since opened; UINT64_MAX if never.
uint64_t entered_at(const Event& event, const std::string& state);

}  // namespace tcptrail::test
