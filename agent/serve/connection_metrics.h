// SPDX-License-Identifier: Apache-2.0
//
// Sums over the connections that were told: by role, and by what the configuration wants to tell apart.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "agent/connections/connection.h"
#include "agent/context/context.h"
#include "agent/serve/exposition.h"
#include "agent/serve/options.h"

namespace tcptrail::serve {

// Used by the capture thread alone. Memory and the number of series are bounded: who comes first has series
// of his own as long as he is heard of, all others are summed up in one set, so that totals stay right.
class ConnectionMetrics {
public:
    using Clock = uint64_t (*)();  // CLOCK_MONOTONIC, in ns; by ticks is exact enough

    explicit ConnectionMetrics(const MetricsOptions& options);
    ConnectionMetrics(const MetricsOptions& options, Clock clock);

    // A set of which nothing was heard for so long gives way where there is no room for a new one: by then
    // whoever scrapes has read the last that it had to tell, several times.
    static constexpr uint64_t silent_for_ns = 3600ull * 1'000'000'000;

    // Each event that is told, in its order.
    void add(const connections::Connection& connection, const context::Identity& identity);
    // No more than max_series samples.
    void write(Exposition& to) const;
    // How full it is: four samples beyond these.
    void write_bound(Exposition& to) const;

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
        std::string key, labels;
        uint64_t heard_ns = 0;  // when there was an event of it last
        uint64_t opened = 0;
        std::array<uint64_t, outcomes> failed{};  // by Outcome
        std::array<uint64_t, ends> ended{};       // by End
        uint64_t data_segments = 0, retransmits = 0, syn_retransmits = 0;
        uint64_t bytes_sent = 0, bytes_received = 0;
        std::array<Distribution, std::size(histogram_names)> distributions;
    };
    struct Hash {
        using is_transparent = void;
        size_t operator()(std::string_view key) const;
    };

    using Sets = std::list<Set>;  // first what was heard of last

    // Null: there is no room.
    Set* set_of(const connections::Connection& connection, const context::Identity& identity);
    Set* known_set_of(const connections::Connection& connection, const context::Identity& identity);
    bool has_room(uint64_t now_ns) const;
    std::string labels_of(const connections::Connection& connection, const context::Identity& identity) const;
    void make_key(const connections::Connection& connection, const context::Identity& identity);
    void observe(Set& set, Histogram which, uint64_t us) const;
    template <class Each>
    void each_set(Each each) const;

    MetricsOptions options_;
    size_t most_sets_;
    std::array<Set, roles> others_;  // by Role
    Sets sets_;
    std::unordered_map<std::string, Sets::iterator, Hash, std::equal_to<>> by_key_;
    uint64_t replaced_ = 0, other_ends_ = 0;
    Clock clock_;
    std::string key_;  // of the event at hand: its memory is used again
};

}  // namespace tcptrail::serve
