// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace tcptrail {

struct TextHash : std::hash<std::string_view> {
    using is_transparent = void;
};

// A map by text that a view finds without a copy.
template <class Value>
using TextTable = std::unordered_map<std::string, Value, TextHash, std::equal_to<>>;

}  // namespace tcptrail
