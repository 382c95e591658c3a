// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/event.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace tcptrail::test {

namespace {

using Json = nlohmann::json;

std::string scalar(const Json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
}

// A number of protobuf's JSON mapping: 64 bits wide it is a string, and 0 it is absent.
uint64_t to_number(const Json& object, const char* name) {
    const auto found = object.find(name);
    return found == object.end() ? 0 : std::stoull(scalar(*found));
}

std::vector<Step> timeline_of(const Json& steps) {
    constexpr std::string_view prefix = "STATE_";
    std::vector<Step> timeline;
    for (const Json& step : steps) {
        std::string state = step.value("state", "");
        if (state.starts_with(prefix)) state.erase(0, prefix.size());
        timeline.push_back({state, to_number(step, "at_us")});
    }
    return timeline;
}

void flatten(const Json& object, const std::string& prefix, Event& event) {
    for (const auto& [name, value] : object.items()) {
        if (value.is_object()) {
            flatten(value, prefix + name + ".", event);
        } else if (value.is_array() && name == "timeline") {
            event.timeline = timeline_of(value);
        } else if (value.is_array() && name == "partial") {
            event.partial = value.get<std::vector<std::string>>();
        } else if (value.is_array() || value.is_null()) {
            throw std::runtime_error("unexpected value of " + prefix + name);
        } else {
            event.fields[prefix + name] = scalar(value);
        }
    }
}

}  // namespace

std::string Event::text(const std::string& field) const {
    const auto found = fields.find(field);
    return found == fields.end() ? "" : found->second;
}

std::optional<uint64_t> Event::number(const std::string& field) const {
    const auto found = fields.find(field);
    if (found == fields.end()) return std::nullopt;
    uint64_t value = 0;
    const char* const end = found->second.data() + found->second.size();
    const auto [rest, error] = std::from_chars(found->second.data(), end, value);
    if (error != std::errc() || rest != end) return std::nullopt;
    return value;
}

bool Event::in_blind_spot() const {
    return std::ranges::any_of(partial, [](const std::string& reason) {
        return reason == "PARTIAL_BIRTH_MISSED" || reason == "PARTIAL_END_MISSED" ||
               reason == "PARTIAL_STATE_CHANGES_MISSED";
    });
}

Event parse_event(const std::string& line) {
    const Json object = Json::parse(line, nullptr, false);
    if (!object.is_object()) throw std::runtime_error("not a JSON object: " + line);
    Event event;
    event.line = line;
    flatten(object, "", event);
    event.closed = event.text("kind") == "EVENT_KIND_CLOSED";
    return event;
}

uint32_t netns_of(std::string_view line) {
    constexpr std::string_view key = "\"netns\":";
    const size_t at = line.find(key);
    if (at == std::string_view::npos) return 0;
    line.remove_prefix(at + key.size());
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    uint32_t inode = 0;
    std::from_chars(line.data(), line.data() + line.size(), inode);
    return inode;
}

}  // namespace tcptrail::test
