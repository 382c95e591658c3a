// SPDX-License-Identifier: Apache-2.0
//
// One line of `observe -o jsonl`, taken apart.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tcptrail::test {

struct Step {
    std::string state;  // "ESTABLISHED"
    uint64_t at_us;
};

struct Event {
    // Every scalar by its name in the schema, nested ones as "process.pid"; each value as text, as the
    // JSON has it: "123", "true", "OUTCOME_REFUSED". Absent here = absent in the JSON.
    std::map<std::string, std::string> fields;
    std::vector<Step> timeline;
    std::vector<std::string> partial;  // "PARTIAL_END_MISSED"
    bool closed = false;               // of kind CLOSED
    std::string line;

    std::string text(const std::string& field) const;  // empty if absent
    std::optional<uint64_t> number(const std::string& field) const;
    bool has(const std::string& field) const { return fields.contains(field); }

    // No hook saw a part of this connection (README.md, "The blind spot").
    bool in_blind_spot() const;
};

// Throws std::runtime_error if the line is not one JSON object or has values of a strange kind.
Event parse_event(const std::string& line);

// The network namespace of a line without parsing all of it. 0 if there is none.
uint32_t netns_of(std::string_view line);

}  // namespace tcptrail::test
