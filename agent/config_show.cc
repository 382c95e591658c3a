// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <string>
#include <string_view>

#include "agent/config.h"
#include "agent/config_schema.h"
#include "agent/config_values.h"

namespace tcptrail {

namespace {

std::string indent(size_t level) {
    return std::string(2 * level, ' ');
}

// What stands behind the colon of the key, and below it.
std::string show_value(const ConfigKey& key, const Config& config, size_t level) {
    if (key.kind != ConfigKey::Kind::map) return " " + key.show(config) + "\n";
    const ConfigKey::Map entries = key.entries(config);
    if (entries.empty()) return " {}\n";
    std::string lines = "\n";
    for (const auto& [name, value] : entries)
        lines += fmt::format("{}{}: {}\n", indent(level + 1), yaml_scalar(name), yaml_scalar(value));
    return lines;
}

}  // namespace

std::string show_config(const Config& config) {
    std::string yaml;
    std::string_view before;  // the key of the line before
    for (const ConfigKey& key : config_keys()) {
        std::string_view rest = key.name;
        size_t level = 0;
        for (size_t dot = 0; (dot = rest.find('.')) != std::string_view::npos; level++) {
            // A section's line stands before the first of its keys.
            const std::string_view through = key.name.substr(0, key.name.size() - rest.size() + dot + 1);
            if (!before.starts_with(through))
                yaml += fmt::format("{}{}:\n", indent(level), rest.substr(0, dot));
            rest.remove_prefix(dot + 1);
        }
        yaml += fmt::format("{}{}:{}", indent(level), rest, show_value(key, config, level));
        before = key.name;
    }
    return yaml;
}

std::string describe_config() {
    const Config defaults;
    std::string table;
    for (const ConfigKey& key : config_keys()) {
        const std::string value = key.kind == ConfigKey::Kind::map ? "{}" : key.show(defaults);
        table += fmt::format("{:<30} {}; default {}; allowed: {}\n{:<30} {}\n", key.name, key.type, value,
                             key.allowed, "", key.description);
    }
    table += fmt::format(
        "\n"
        "The file nests sections as YAML maps. The environment overrides the file, with names such as\n"
        "{}; --set key=value overrides both. Maps are merged: one property is set\n"
        "by --set kafka.properties.linger.ms=5, several by TCPTRAIL_KAFKA_PROPERTIES='{{linger.ms: 5}}'.\n",
        environment_name(*find_config_key("capture.ring_bytes")));
    return table;
}

}  // namespace tcptrail
