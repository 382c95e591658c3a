// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/columns_predictor.h"

#include <algorithm>
#include <bit>

namespace tcptrail::spool::columns {

namespace {

constexpr size_t sample = 256;                         // values that a predictor is judged by
constexpr uint64_t nanos = 1'000'000'000'000'000'000;  // larger: a wall-clock time

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

}  // namespace

Predictor choose(const std::vector<const Event*>& events, const Shape& shape, size_t leaf) {
    const size_t step = std::max<size_t>(1, events.size() / sample);
    std::vector<uint64_t> differences;
    Predictor best;
    double least = -1;
    const auto consider = [&](Predictor predictor) {
        differences.clear();
        for (size_t i = 0; i < events.size(); i += step) {
            const Event& event = *events[i];
            differences.push_back(
                zigzag(event.values[leaf].number - predictor.of(event.values, event.before[leaf])));
        }
        const double bits = cost(differences);
        if (least < 0 || bits < least) {
            least = bits;
            best = predictor;
        }
    };
    consider({});
    consider({Predictor::previous});
    std::vector<uint8_t> times;
    for (size_t other = 0; other < leaf && least > 0; other++) {
        if (shape.leaves[other].wire != varint) continue;
        const bool time = events[0]->values[other].number > nanos;
        if (time) times.push_back(static_cast<uint8_t>(other));
        if (time == (events[0]->values[leaf].number > nanos))
            consider({Predictor::other, static_cast<uint8_t>(other)});
    }
    for (const uint8_t second : times)
        for (const uint8_t first : times)
            if (first > second && least > 0) consider({Predictor::interval, first, second});
    return best;
}

}  // namespace tcptrail::spool::columns
