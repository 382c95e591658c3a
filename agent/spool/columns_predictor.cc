// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/columns_predictor.h"

#include <algorithm>
#include <bit>

namespace tcptrail::spool::columns {

namespace {

// Values that a predictor is judged by: all of them by a few, and the best of those by many.
constexpr size_t few = 24, many = 256;
constexpr size_t shortlist = 4;
constexpr uint64_t nanos = 1'000'000'000'000'000'000;  // larger: a wall-clock time
constexpr uint64_t clock_like = 1u << 24;              // larger: perhaps the low bits of a time

// Bits that the differences need, roughly: what is always the same needs none.
double cost(std::vector<uint64_t>& differences) {
    std::ranges::sort(differences);
    const auto n = static_cast<double>(differences.size());
    double magnitude = 0, spread = 0;
    for (auto run = differences.begin(); run != differences.end();) {
        const auto end =
            std::find_if(run, differences.end(), [run](uint64_t other) { return other != *run; });
        const auto count = static_cast<double>(end - run);
        magnitude += count * std::bit_width(*run);
        spread += count * std::bit_width(static_cast<uint64_t>(n / count)) + std::bit_width(*run);
        run = end;
    }
    return std::min(magnitude, spread);
}

constexpr size_t max_remembered = 1000;  // shapes
constexpr int most_uses = 16;

std::vector<Predictor> candidates(const Event& event, const Shape& shape, size_t leaf) {
    std::vector<Predictor> all = {{Predictor::previous}, {}};
    std::vector<uint8_t> times;
    const uint64_t number = event.values[leaf].number;
    for (size_t i = 0; i < leaf; i++) {
        if (shape.leaves[i].wire != varint) continue;
        const auto other = static_cast<uint8_t>(i);
        const uint64_t others = event.values[i].number;
        const bool time = others > nanos;
        if (time) times.push_back(other);
        if (time == (number > nanos)) all.push_back({Predictor::other, other});
        if ((time || number > nanos) && std::min(number, others) > clock_like)
            all.push_back({Predictor::in_step, other});
    }
    for (const uint8_t second : times)
        for (const uint8_t first : times)
            if (first > second) all.push_back({Predictor::interval, first, second});
    return all;
}

// The one that leaves the least of this leaf's numbers.
Predictor choose(const std::vector<const Event*>& events, const Shape& shape, size_t leaf) {
    std::vector<uint64_t> differences;
    const auto cost_of = [&](Predictor predictor, size_t sample) {
        differences.clear();
        const size_t step = std::max<size_t>(1, events.size() / sample);
        // Not the first one: its predecessor has another shape, if any.
        for (size_t i = std::min<size_t>(1, events.size() - 1); i < events.size(); i += step)
            differences.push_back(zigzag(events[i]->values[leaf].number -
                                         predictor.of(events[i]->values, events[i]->before, leaf)));
        return cost(differences);
    };
    std::vector<std::pair<double, Predictor>> judged;
    for (const Predictor predictor : candidates(*events[0], shape, leaf)) {
        const double bits = cost_of(predictor, few);
        // The cheapest stands first; of equals the one that was met first.
        judged.emplace(std::ranges::upper_bound(judged, bits, {}, &std::pair<double, Predictor>::first), bits,
                       predictor);
        if (bits == 0) break;  // none is better
    }
    if (events.size() <= few) return judged[0].second;
    judged.resize(std::min(judged.size(), shortlist));
    for (auto& [bits, predictor] : judged)
        bits = cost_of(predictor, many);
    return std::ranges::min_element(judged, {}, &std::pair<double, Predictor>::first)->second;
}

}  // namespace

const std::vector<Predictor>& Choices::of(const std::vector<const Event*>& events, const Shape& shape) {
    if (by_tokens_.size() >= max_remembered) by_tokens_.clear();
    Choice& choice = by_tokens_[shape.tokens];
    if (choice.uses++ % most_uses != 0 && events.size() < 4 * choice.events) return choice.predictors;
    choice = {std::vector<Predictor>(shape.leaves.size()), events.size(), 1};
    for (size_t leaf = 0; leaf < shape.leaves.size(); leaf++)
        if (shape.leaves[leaf].wire == varint) choice.predictors[leaf] = choose(events, shape, leaf);
    return choice.predictors;
}

}  // namespace tcptrail::spool::columns
