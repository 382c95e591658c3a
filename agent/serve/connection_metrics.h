// SPDX-License-Identifier: Apache-2.0
//
// Sums over the connections that were told: by role, and by what the configuration wants to tell apart.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/connections/connection.h"
#include "agent/context/context.h"
#include "agent/serve/exposition.h"
#include "agent/serve/options.h"

namespace tcptrail::serve {

// Used by the capture thread alone. Memory and the number of series are bounded: who comes first has series
// of his own for good, all others are summed up in one set, so that totals stay right.
class ConnectionMetrics {
public:
    explicit ConnectionMetrics(const MetricsOptions& options);

    // Each event that is told, in its order.
    void add(const connections::Connection& connection, const context::Identity& identity);
    // No more than max_series samples.
    void write(Exposition& to) const;

    // For a configuration that was read anew. Counts go on where labels, histograms and max_series are the
    // same; otherwise all begins anew.
    void reconfigure(const MetricsOptions& options);

private:
    static constexpr size_t roles = 3, most_bounds = 11, outcomes = 10, ends = 9;
    struct Distribution {
        std::array<uint64_t, most_bounds + 1> counts{};
        uint64_t sum_us = 0;
    };
    struct Set {
        std::string labels;
        uint64_t opened = 0;
        std::array<uint64_t, outcomes> failed{};  // by Outcome
        std::array<uint64_t, ends> ended{};       // by End
        uint64_t retransmits = 0, syn_retransmits = 0;
        uint64_t bytes_sent = 0, bytes_received = 0;
        std::array<Distribution, std::size(histogram_names)> distributions;
    };
    struct Hash {
        using is_transparent = void;
        size_t operator()(std::string_view key) const;
    };

    Set& set_of(const connections::Connection& connection, const context::Identity& identity);
    std::string labels_of(const connections::Connection& connection, const context::Identity& identity) const;
    void make_key(const connections::Connection& connection, const context::Identity& identity);
    void observe(Set& set, Histogram which, uint64_t us) const;
    template <class Each>
    void each_set(Each each) const;

    MetricsOptions options_;
    size_t most_sets_;
    std::array<Set, roles> others_;  // by Role
    std::vector<std::unique_ptr<Set>> sets_;
    std::unordered_map<std::string, Set*, Hash, std::equal_to<>> by_key_;
    std::string key_;  // of the event at hand: its memory is used again
};

}  // namespace tcptrail::serve
