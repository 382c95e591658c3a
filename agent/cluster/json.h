// SPDX-License-Identifier: Apache-2.0
//
// Reading JSON whose shape nobody guarantees: what is not there, or is of another type, is empty. nlohmann's
// exceptions stay in here.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace tcptrail::cluster {

using Json = nlohmann::json;

inline std::optional<Json> parse_json(std::string_view text) {
    Json parsed = Json::parse(text, nullptr, false);
    if (!parsed.is_object()) return std::nullopt;
    return parsed;
}

// The member `name` of an object; null where there is none.
inline const Json& member_of(const Json& object, std::string_view name) {
    static const Json null;
    if (!object.is_object()) return null;
    const auto found = object.find(name);
    return found == object.end() ? null : *found;
}

inline std::string string_in(const Json& object, std::string_view name) {
    const Json& value = member_of(object, name);
    return value.is_string() ? value.get<std::string>() : std::string();
}

inline bool is_true(const Json& object, std::string_view name) {
    const Json& value = member_of(object, name);
    return value.is_boolean() && value.get<bool>();
}

}  // namespace tcptrail::cluster
