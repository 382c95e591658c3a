// SPDX-License-Identifier: Apache-2.0
//
// Strict YAML: what yaml-cpp lets pass (duplicate keys, files that end inside quotes, several documents,
// UTF-16, tags, endless nesting) is an error here, and every node knows its line.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <vector>

namespace tcptrail {

struct YamlNode;
// Aliases share the node of their anchor. There are no cycles.
using YamlPointer = std::shared_ptr<const YamlNode>;

struct YamlEntry {
    std::string key;
    int line = 0;  // of the key
    YamlPointer value;
};

struct YamlNode {
    enum class Kind { null, scalar, list, map };

    Kind kind = Kind::null;
    int line = 0;                    // where it begins, from 1
    std::string text;                // of a scalar
    std::vector<YamlPointer> items;  // of a list
    std::vector<YamlEntry> entries;  // of a map, in the order of the text, each key once
};

struct YamlError {
    int line = 0;
    std::string message;  // "what is wrong; what is allowed", one line
};

// The only document of `text`; a null node if it is empty. Never throws.
std::expected<YamlPointer, YamlError> read_yaml(const std::string& text);

}  // namespace tcptrail
