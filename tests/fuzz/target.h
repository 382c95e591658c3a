// SPDX-License-Identifier: Apache-2.0
//
// What is fuzzed. A target takes any bytes, throws where something that must hold does not, and is the only
// one in its source: `make fuzz` links each with libFuzzer, the unit tests link all and replay what is known.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tests::fuzz {

struct Target {
    std::string name;  // of the source, and of the folder in corpus/
    void (*run)(std::span<const uint8_t> input);
    std::vector<std::string> (*seeds)();  // inputs to begin with: well-formed ones
};

// In the order of linking. `Register` is a global object of each target's source.
inline std::vector<Target>& targets() {
    static std::vector<Target> all;
    return all;
}

struct Register {
    explicit Register(Target target) { targets().push_back(std::move(target)); }
};

inline void expect(bool holds, const char* what) {
    if (!holds) throw std::logic_error(what);
}

inline std::string_view text_of(std::span<const uint8_t> input) {
    return {reinterpret_cast<const char*>(input.data()), input.size()};
}

}  // namespace tests::fuzz
