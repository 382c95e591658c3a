// SPDX-License-Identifier: Apache-2.0
//
// The one table of all keys. Parsing, show_config, describe_config, the names of environment variables
// and the texts of errors come from it.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config.h"
#include "agent/config_kafka.h"

namespace tcptrail {

struct ConfigKey {
    enum class Kind { value, list, map };
    using Map = std::map<std::string, std::string>;

    std::string_view name;  // "capture.ring_bytes": section and key
    std::string type;       // "size in bytes"
    std::string allowed;    // "4KiB to 1GiB, a power of two"
    std::string_view description;
    Kind kind = Kind::value;

    // Of values and lists. The text of a list has commas between its elements.
    std::function<Problem(Config&, const std::string& text)> set = {};
    std::function<std::string(const Config&)> show = {};  // as YAML on one line

    // Of maps. Secrets are hidden in what `entries` returns.
    std::function<Problem(Config&, const std::string& name, const std::string& value)> set_entry = {};
    std::function<Map(const Config&)> entries = {};

    // Whether a value is the path of a file, and what is wrong with that file. In a map: of the entry `name`.
    std::function<bool(std::string_view name)> is_path = {};
    std::function<Problem(const std::string& name, const std::string& path)> check_file = {};
    // Of maps: whether the value of the entry `name` is a secret.
    std::function<bool(std::string_view name)> is_secret = {};
};

// In the order of the sections; the keys of a section stand together.
const std::vector<ConfigKey>& config_keys();

// nullptr: there is none of that name.
const ConfigKey* find_config_key(std::string_view name);

// The key or section that `name` was most likely meant to be, in full; empty: none is close.
std::string closest_config_key(std::string_view name);

// Whether keys have names that begin with `name` and a dot.
bool is_config_section(std::string_view name);

// The names directly in a section, without it; those at the top for an empty one.
std::vector<std::string> names_in_section(std::string_view section);

// "TCPTRAIL_CAPTURE_RING_BYTES"
std::string environment_name(const ConfigKey& key);

}  // namespace tcptrail
