// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "agent/base/log.h"
#include "agent/base/utf8.h"
#include "agent/config_file.h"
#include "agent/config_schema.h"
#include "agent/config_values.h"
#include "agent/config_yaml.h"
#include "agent/serve/listen_address.h"

namespace tcptrail {

namespace {

constexpr size_t max_file_bytes = 1 << 20;
constexpr std::string_view environment_prefix = "TCPTRAIL_";

using Kind = YamlNode::Kind;

std::unexpected<Error> refuse(std::string_view place, std::string_view problem) {
    return fail(fmt::format("{}: {}", place, problem), ExitCode::configuration);
}

std::string_view describe(Kind kind) {
    switch (kind) {
        case Kind::null:
            return "has no value";
        case Kind::scalar:
            return "is a single value";
        case Kind::list:
            return "is a list";
        case Kind::map:
            break;
    }
    return "is a map";
}

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const size_t length = utf8_sequence(text);
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}

std::string join(const std::string& section, const std::string& name) {
    return section.empty() ? name : section + "." + name;
}

std::string keys_of(const std::string& section) {
    return fmt::format("a map of {}", fmt::join(names_in_section(section), ", "));
}

std::string unknown_key(const std::string& name, const std::string& section) {
    const std::string meant = closest_config_key(name);
    if (meant.empty()) return fmt::format("unknown key {}; allowed: {}", quoted(name), keys_of(section));
    if (meant == name) return fmt::format("key {} is written with dots; allowed: nested maps", quoted(name));
    return fmt::format("unknown key {}; did you mean {}?", quoted(name), meant);
}

std::string unknown_variable(std::string_view name) {
    std::vector<std::string> names;
    for (const ConfigKey& key : config_keys()) {
        names.push_back(environment_name(key).substr(environment_prefix.size()));
        // TCPTRAIL_KAFKA_PROPERTIES_LINGER_MS: a property has no variable of its own.
        if (key.kind == ConfigKey::Kind::map && name.starts_with(names.back()))
            return fmt::format("unknown name; did you mean {}?", environment_name(key));
    }
    const std::string meant = closest(name, names);
    if (!meant.empty()) return fmt::format("unknown name; did you mean {}{}?", environment_prefix, meant);
    return "unknown name; allowed: TCPTRAIL_CONFIG, and keys in the form of TCPTRAIL_CAPTURE_RING_BYTES";
}

// Kubernetes gives a pod such variables for each service of its namespace. One that is called tcptrail
// must not keep the agent from starting.
bool is_service_link(std::string_view name, std::string_view value) {
    if (name.ends_with("SERVICE_HOST") || name.find("SERVICE_PORT") != std::string_view::npos) return true;
    if (name.ends_with("PORT") && value.find("://") != std::string_view::npos) return true;
    const size_t port = name.rfind("PORT_");
    return port != std::string_view::npos && name.substr(port + 5).find_first_of("0123456789") == 0;
}

// Takes the sources one after the other, each on top of those before.
class Loader {
public:
    explicit Loader(const ConfigSources& sources);
    Result<> read_file(const std::string& path);
    Result<> read_environment(const std::vector<std::string>& environment);
    Result<> read_setting(const std::string& setting);
    // What no key gets wrong alone.
    Result<> check_together() const;
    // What is wrong with the files that values in force name.
    Result<> check_files() const;
    const Config& config() const { return config_; }

private:
    Result<> read_section(const std::string& file, const YamlNode& map, const std::string& section);
    // `file` is empty for text that comes from elsewhere.
    Result<> set_node(const ConfigKey& key, const std::string& place, const std::string& file,
                      const YamlNode& node);
    Result<> set_map(const ConfigKey& key, const std::string& place, const std::string& file,
                     const YamlNode& map);
    Result<> set_text(const ConfigKey& key, const std::string& place, const std::string& text);
    // One value, or one entry of a map.
    Result<> set_value(const ConfigKey& key, const std::string& place, const std::string& name,
                       std::string value);

    // What a value names that is the path of a file.
    struct NamedFile {
        const ConfigKey* key;
        std::string place;
        std::string entry;
        std::string path;
    };

    const std::optional<std::string> credentials_;  // the folder that systemd has made for the service
    const bool read_files_;
    bool from_command_line_ = false;
    Config config_;
    std::map<std::string_view, std::string> places_;  // a key's name → where it was set last
    std::map<std::string, NamedFile> files_;          // a key's and an entry's name → what is in force
};

constexpr std::string_view credentials_variable = "CREDENTIALS_DIRECTORY";

std::optional<std::string> variable_of(const std::vector<std::string>& environment, std::string_view name) {
    for (const std::string& variable : environment)
        if (variable.starts_with(name) && variable.substr(name.size()).starts_with("="))
            return variable.substr(name.size() + 1);
    return std::nullopt;
}

Loader::Loader(const ConfigSources& sources)
    : credentials_(variable_of(sources.environment, credentials_variable)), read_files_(sources.read_files) {}

Result<> Loader::set_value(const ConfigKey& key, const std::string& place, const std::string& name,
                           std::string value) {
    const bool is_map = key.kind == ConfigKey::Kind::map;
    if (from_command_line_ && is_map && key.is_secret(name))
        return refuse(place, fmt::format("who lists the processes would see it; allowed: a file with it in "
                                         "kafka.property_files.{}",
                                         one_line(name)));
    const bool is_path = key.is_path && key.is_path(name);
    const std::string placeholder = fmt::format("${{{}}}", credentials_variable);
    if (is_path && value.starts_with(placeholder)) {
        if (credentials_)
            value.replace(0, placeholder.size(), *credentials_);
        else if (read_files_)
            return refuse(place, fmt::format("{} is not set: systemd sets it, for a service with "
                                             "LoadCredential=; by hand, as root and while the service runs: "
                                             "env {}=/run/credentials/tcptrail.service tcptrail …",
                                             credentials_variable, credentials_variable));
    }
    if (const Problem problem = is_map ? key.set_entry(config_, name, value) : key.set(config_, value))
        return refuse(place, *problem);
    if (is_path && key.check_file) files_[fmt::format("{}.{}", key.name, name)] = {&key, place, name, value};
    return {};
}

Result<> Loader::read_file(const std::string& path) {
    const auto text = read_small_file(path, max_file_bytes);
    if (!text)
        return fail(fmt::format("{}; allowed: a YAML file of up to {}", text.error().message,
                                show_size(max_file_bytes)),
                    ExitCode::configuration);
    const std::string file = one_line(path);
    const auto root = read_yaml(*text);
    if (!root) return refuse(fmt::format("{}:{}", file, root.error().line), root.error().message);
    switch ((*root)->kind) {
        case Kind::null:
            return {};
        case Kind::map:
            return read_section(file, **root, "");
        default:
            return refuse(fmt::format("{}:{}", file, (*root)->line),
                          fmt::format("the document {}; allowed: {}", describe((*root)->kind), keys_of("")));
    }
}

Result<> Loader::read_section(const std::string& file, const YamlNode& map, const std::string& section) {
    for (const YamlEntry& entry : map.entries) {
        const std::string line = fmt::format("{}:{}", file, entry.line);
        const std::string name = join(section, entry.key);
        const std::string place = line + ": " + name;
        const bool dotted = entry.key.find('.') != std::string::npos;
        const ConfigKey* key = dotted ? nullptr : find_config_key(name);
        Result<> done;
        if (key != nullptr) {
            done = set_node(*key, place, file, *entry.value);
        } else if (dotted || !is_config_section(name)) {
            return refuse(line, unknown_key(name, section));
        } else if (entry.value->kind != Kind::map) {
            return refuse(place, fmt::format("{}; allowed: {}", describe(entry.value->kind), keys_of(name)));
        } else {
            done = read_section(file, *entry.value, name);
        }
        if (!done) return done;
    }
    return {};
}

Result<> Loader::set_node(const ConfigKey& key, const std::string& place, const std::string& file,
                          const YamlNode& node) {
    const bool is_map = key.kind == ConfigKey::Kind::map;
    if (is_map && node.kind == Kind::map) return set_map(key, place, file, node);
    if (!is_map && node.kind == Kind::scalar) return set_text(key, place, node.text);
    if (key.kind != ConfigKey::Kind::list || node.kind != Kind::list)
        return refuse(place, fmt::format("{}; allowed: {}", describe(node.kind), key.allowed));

    std::string elements;
    for (const YamlPointer& item : node.items) {
        // An empty one would be no element at all once they are joined.
        if (item->kind != Kind::scalar || item->text.empty())
            return refuse(place, fmt::format("has an element that {}; allowed: {}",
                                             item->kind == Kind::scalar ? "is empty" : describe(item->kind),
                                             key.allowed));
        if (!elements.empty()) elements += ',';
        elements += item->text;
    }
    return set_text(key, place, elements);
}

Result<> Loader::set_map(const ConfigKey& key, const std::string& place, const std::string& file,
                         const YamlNode& map) {
    for (const YamlEntry& entry : map.entries) {
        const std::string name = one_line(entry.key);
        const std::string entry_place = file.empty()
                                            ? fmt::format("{}: {}", place, name)
                                            : fmt::format("{}:{}: {}.{}", file, entry.line, key.name, name);
        if (entry.value->kind != Kind::scalar)
            return refuse(entry_place,
                          fmt::format("{}; allowed: a single value", describe(entry.value->kind)));
        if (auto done = set_value(key, entry_place, entry.key, entry.value->text); !done) return done;
    }
    return {};
}

Result<> Loader::set_text(const ConfigKey& key, const std::string& place, const std::string& text) {
    if (!is_utf8(text)) return refuse(place, "is not UTF-8; allowed: " + key.allowed);
    if (key.kind == ConfigKey::Kind::map) {
        if (text.find_first_not_of(' ') == std::string::npos) return {};
        const auto node = read_yaml(text);
        if (!node) return refuse(place, node.error().message);
        return set_node(key, place, "", **node);
    }
    auto done = set_value(key, place, "", text);
    if (done) places_[key.name] = place;
    return done;
}

Result<> Loader::read_environment(const std::vector<std::string>& environment) {
    std::map<std::string, const ConfigKey*> variables;
    for (const ConfigKey& key : config_keys())
        variables[environment_name(key)] = &key;

    for (const std::string& variable : environment) {
        const size_t equals = variable.find('=');
        if (!variable.starts_with(environment_prefix) || equals == std::string::npos) continue;
        const std::string name = variable.substr(0, equals);
        const std::string value = variable.substr(equals + 1);
        const std::string place = "environment " + one_line(name);
        const auto known = variables.find(name);
        if (known != variables.end()) {
            if (auto done = set_text(*known->second, place, value); !done) return done;
        } else if (name != "TCPTRAIL_CONFIG" &&
                   !is_service_link(name.substr(environment_prefix.size()), value)) {
            return refuse(place, unknown_variable(std::string_view(name).substr(environment_prefix.size())));
        }
    }
    return {};
}

Result<> Loader::read_setting(const std::string& setting) {
    from_command_line_ = true;
    const size_t equals = setting.find('=');
    const std::string name = setting.substr(0, equals);
    const std::string place = "--set " + one_line(name);
    if (equals == std::string::npos) return refuse(place, "has no value; allowed: key=value");
    const std::string value = setting.substr(equals + 1);

    if (const ConfigKey* key = find_config_key(name)) return set_text(*key, place, value);
    if (is_config_section(name))
        return refuse(place, fmt::format("is a section; allowed: one of its keys, {}",
                                         fmt::join(names_in_section(name), ", ")));
    for (const ConfigKey& key : config_keys()) {
        const std::string prefix = fmt::format("{}.", key.name);
        if (key.kind != ConfigKey::Kind::map || !name.starts_with(prefix)) continue;
        if (!is_utf8(value)) return refuse(place, "is not UTF-8; allowed: " + key.allowed);
        return set_value(key, place, name.substr(prefix.size()), value);
    }
    const std::string meant = closest_config_key(name);
    if (!meant.empty()) return refuse(place, fmt::format("unknown key; did you mean {}?", meant));
    return refuse(place, fmt::format("unknown key; allowed: {}, and what is below them",
                                     fmt::join(names_in_section(""), ", ")));
}

Result<> Loader::check_together() const {
    // The agent would make it wherever it happens to be started.
    if (!config_.spool.directory.starts_with('/'))
        return refuse(places_.at("spool.directory"),
                      fmt::format("{} is relative to where the agent is started; allowed: an absolute path",
                                  quoted(config_.spool.directory)));

    const auto& topics = config_.kafka.topics;
    // If they are the same, one of them is not the default.
    const bool agents_set = places_.contains("kafka.topics.agents");
    if (topics[0] == topics[1])
        return refuse(places_.at(agents_set ? "kafka.topics.agents" : "kafka.topics.connections"),
                      fmt::format("{} is the topic of {} too; allowed: a topic for each", quoted(topics[0]),
                                  agents_set ? "kafka.topics.connections" : "kafka.topics.agents"));

    if (config_.kafka.framing == transmit::Framing::confluent)
        for (const int topic : {0, 1})
            if (config_.kafka.schema_ids[topic] == 0)
                return refuse(places_.at("kafka.framing"),
                              fmt::format("confluent needs kafka.schema_ids.{}; allowed: raw, or ids from 1",
                                          topic == 0 ? "connections" : "agents"));

    const serve::MetricsOptions& metrics = config_.serve.metrics;
    const auto listen = serve::parse_listen_address(metrics.listen);
    if (listen && !listen->is_local() && metrics.token_file.empty())
        return refuse(places_.at("serve.metrics.listen"),
                      fmt::format("{} can be reached from other hosts; allowed: this host's own, or "
                                  "serve.metrics.token_file with it",
                                  quoted(metrics.listen)));
    return {};
}

Result<> Loader::check_files() const {
    if (!read_files_) return {};
    for (const auto& [name, file] : files_)
        if (const Problem problem = file.key->check_file(file.entry, file.path)) {
            auto refused = refuse(file.place, *problem);
            // A secret may come later than the agent, which is then to be started again: not so for a
            // mistake.
            if (access(file.path.c_str(), F_OK) != 0 && errno == ENOENT)
                refused.error().code = ExitCode::no_input;
            return refused;
        }
    return {};
}

Result<Config> load(const ConfigSources& sources) {
    Loader loader(sources);
    Result<> done;
    if (!sources.file.empty()) done = loader.read_file(sources.file);
    if (done) done = loader.read_environment(sources.environment);
    for (const std::string& setting : sources.settings)
        if (done) done = loader.read_setting(setting);
    if (done) done = loader.check_files();
    if (done) done = loader.check_together();
    if (!done) return std::unexpected(std::move(done.error()));
    return loader.config();
}

}  // namespace

Result<Config> load_config(const ConfigSources& sources) {
    try {
        return load(sources);
    } catch (const std::exception& exception) {  // out of memory, for one
        return refuse("configuration", exception.what());
    }
}

}  // namespace tcptrail
