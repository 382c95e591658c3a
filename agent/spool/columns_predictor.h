// SPDX-License-Identifier: Apache-2.0
//
// For columns*.cc alone: numbers are stored as the difference from what they are likely to be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/spool/columns_shape.h"

namespace tcptrail::spool::columns {

inline uint64_t zigzag(uint64_t difference) {
    return (difference << 1) ^ (0 - (difference >> 63));
}

inline uint64_t unzigzag(uint64_t value) {
    return (value >> 1) ^ (0 - (value & 1));
}

// What a number is likely to be: nothing, its predecessor in the stream, another of its event, the
// microseconds between two times of its event, or as far from its predecessor as another of its event is.
struct Predictor {
    enum Kind : uint8_t { none, previous, other, interval, in_step, last_kind = in_step };
    Kind kind = none;
    uint8_t first = 0, second = 0;  // leaves before it

    // `before`: by leaf, the predecessor in the stream.
    uint64_t of(const std::vector<Value>& event, const std::vector<uint64_t>& before, size_t leaf) const {
        switch (kind) {
            case none:
                return 0;
            case previous:
                return before[leaf];
            case other:
                return event[first].number;
            case interval:
                return (event[first].number - event[second].number) / 1000;
            case in_step:
                return before[leaf] + event[first].number - before[first];
        }
        return 0;
    }
};

struct Event {
    size_t shape;
    std::vector<Value> values;
    std::vector<uint64_t> before;  // by leaf: the last number of the same path
};

// What predicts the numbers of each leaf best, by a sample of the events. To find it takes longer than all
// else, so it is remembered for a shape, and found anew now and then.
class Choices {
public:
    // `events` have this shape; there is one at least. By leaf; valid until the next call.
    const std::vector<Predictor>& of(const std::vector<const Event*>& events, const Shape& shape);

private:
    struct Choice {
        std::vector<Predictor> predictors;
        size_t events = 0;  // that it was made by
        int uses = 0;
    };
    std::map<std::string, Choice> by_tokens_;
};

}  // namespace tcptrail::spool::columns
