// SPDX-License-Identifier: Apache-2.0
#include "agent/config_schema.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <span>
#include <type_traits>
#include <utility>

#include "agent/config_serve.h"
#include "agent/config_values.h"
#include "agent/serve/listen_address.h"
#include "agent/transmit/client.h"

namespace tcptrail {

namespace {

using Choices = std::vector<std::string_view>;

constexpr uint64_t kib = 1ull << 10, mib = 1ull << 20, gib = 1ull << 30, tib = 1ull << 40;

// A key with one value: `parse` reads its text, `show` writes it as YAML. `member` finds it in a Config.
template <class Member, class Parse, class Show>
ConfigKey single(std::string_view name, std::string type, std::string allowed, std::string_view description,
                 Member member, Parse parse, Show show) {
    ConfigKey key{.name = name, .type = std::move(type), .allowed = allowed, .description = description};
    key.set = [=](Config& config, const std::string& text) -> Problem {
        auto value = parse(text);
        if (!value) return fmt::format("{}; allowed: {}", value.error(), allowed);
        auto& target = member(config);
        target = static_cast<std::remove_cvref_t<decltype(target)>>(std::move(*value));
        return std::nullopt;
    };
    key.show = [=](const Config& config) { return show(member(config)); };
    return key;
}

template <class Member>
ConfigKey text(std::string_view name, Member member, size_t min, size_t max, std::string_view description) {
    return single(
        name, "text", fmt::format("{} to {} bytes, no control characters", min, max), description, member,
        [=](const std::string& text) { return parse_text(text, min, max); }, yaml_scalar);
}

template <class Member>
ConfigKey topic(std::string_view name, Member member, std::string_view description) {
    return single(name, "topic name", std::string(topic_allowed), description, member, parse_topic,
                  yaml_scalar);
}

template <class Member>
ConfigKey integer(std::string_view name, Member member, uint32_t min, uint32_t max, std::string_view unit,
                  std::string_view description) {
    return single(
        name, unit.empty() ? "integer" : fmt::format("integer, {}", unit), fmt::format("{} to {}", min, max),
        description, member, [=](const std::string& text) { return parse_integer(text, min, max); },
        [](uint32_t number) { return std::to_string(number); });
}

enum class Steps { any, powers_of_two };

template <class Member>
ConfigKey size(std::string_view name, Member member, uint64_t min, uint64_t max, Steps steps,
               std::string_view description) {
    const bool powers = steps == Steps::powers_of_two;
    const auto parse = [=](const std::string& text) -> Parsed<uint64_t> {
        auto bytes = parse_size(text, min, max);
        if (bytes && powers && (*bytes & (*bytes - 1)) != 0)
            return std::unexpected(quoted(text) + " is not a power of two");
        return bytes;
    };
    return single(name, "size in bytes",
                  fmt::format("{} to {}{}", show_size(min), show_size(max), powers ? ", a power of two" : ""),
                  description, member, parse, show_size);
}

template <class Member>
ConfigKey boolean(std::string_view name, Member member, std::string_view description) {
    return single(name, "boolean", "true, false", description, member, parse_boolean,
                  [](bool on) { return std::string(on ? "true" : "false"); });
}

// `choices` in the order of the enumerators.
template <class Member>
ConfigKey choice(std::string_view name, Member member, const Choices& choices, std::string_view description) {
    return single(
        name, "choice", fmt::format("{}", fmt::join(choices, ", ")), description, member,
        [=](const std::string& text) { return parse_choice(text, choices); },
        [=](auto chosen) { return std::string(choices.at(static_cast<size_t>(chosen))); });
}

std::string show_brokers(const std::string& brokers) {
    if (brokers.empty()) return "[]";
    std::string list;
    for (const char c : brokers)
        list += c == ',' ? std::string("\", \"") : std::string(1, c);
    return "[\"" + list + "\"]";
}

template <class Member>
ConfigKey brokers(std::string_view name, Member member, std::string_view description) {
    ConfigKey key =
        single(name, "list", std::string(brokers_allowed), description, member, parse_brokers, show_brokers);
    key.kind = ConfigKey::Kind::list;
    return key;
}

constexpr std::string_view api_server_allowed = "in-cluster, https://host:port, http://host:port, or empty";

// Scheme, host and perhaps a port: paths are ours.
Parsed<std::string> parse_api_server(const std::string& text) {
    if (text.empty() || text == "in-cluster") return text;
    std::string_view rest = text;
    const bool has_scheme = rest.starts_with("https://") || rest.starts_with("http://");
    if (has_scheme) rest.remove_prefix(rest.find("//") + 2);
    const bool is_plain = std::ranges::all_of(rest, [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("-._:[]").contains(c);
    });
    if (!has_scheme || rest.empty() || !is_plain)
        return std::unexpected(quoted(text) + " is not the address of an API server");
    return parse_text(text, 0, 512);
}

template <class Member>
ConfigKey api_server(std::string_view name, Member member, std::string_view description) {
    return single(name, "address", std::string(api_server_allowed), description, member, parse_api_server,
                  yaml_scalar);
}

// A list of some of `names`, each once; in the order of the enumerators they are the values.
template <class Value, class Member>
ConfigKey choices(std::string_view name, Member member, std::span<const char* const> names,
                  std::string_view description) {
    const auto parse = [names](const std::string& text) -> Parsed<std::vector<Value>> {
        auto numbers = parse_choices(text, {names.begin(), names.end()});
        if (!numbers) return std::unexpected(numbers.error());
        std::vector<Value> values;
        for (const size_t number : *numbers)
            values.push_back(static_cast<Value>(number));
        return values;
    };
    const auto show = [names](const std::vector<Value>& values) {
        std::vector<std::string_view> chosen;
        for (const Value value : values)
            chosen.emplace_back(names[static_cast<size_t>(value)]);
        return fmt::format("[{}]", fmt::join(chosen, ", "));
    };
    ConfigKey key = single(name, "list", fmt::format("{}, each once", fmt::join(names, ", ")), description,
                           member, parse, show);
    key.kind = ConfigKey::Kind::list;
    return key;
}

template <class Member>
ConfigKey listen_address(std::string_view name, Member member, std::string_view description) {
    return single(name, "address", fmt::format("{}; empty: none", serve::listen_allowed), description, member,
                  parse_listen, yaml_scalar);
}

template <class Member>
ConfigKey token_file(std::string_view name, Member member, std::string_view description) {
    ConfigKey key = single(
        name, "path", std::string(token_file_allowed), description, member,
        [](const std::string& path) { return parse_text(path, 0, 4095); }, yaml_scalar);
    key.is_path = [](std::string_view) { return true; };
    key.check_file = [](const std::string&, const std::string& path) { return check_token_file(path); };
    return key;
}

enum class Values { plain, paths };

// A map of librdkafka's properties. No property may stand in `other` too.
template <class Member, class Other>
ConfigKey properties(std::string_view name, Member member, std::string_view other_name, Other other,
                     Values values, std::string_view description) {
    ConfigKey key{.name = name,
                  .type = "map",
                  .allowed = values == Values::paths ? "librdkafka's names: paths of readable files"
                                                     : "librdkafka's names: its values",
                  .description = description,
                  .kind = ConfigKey::Kind::map};
    key.set_entry = [=](Config& config, const std::string& property, const std::string& value) -> Problem {
        if (other(config).contains(property))
            return fmt::format("is in {} too; allowed: one of the two", other_name);
        // Of a file it is what is in it that counts.
        if (values == Values::plain)
            if (auto problem = check_property(property, value)) return problem;
        member(config)[property] = value;
        return std::nullopt;
    };
    const auto is_secret = [=](std::string_view property) {
        return values == Values::plain && transmit::is_secret(property);
    };
    key.entries = [=](const Config& config) {
        ConfigKey::Map shown = member(config);
        for (auto& [property, value] : shown)
            if (is_secret(property)) value = "********";
        return shown;
    };
    key.is_secret = is_secret;
    key.is_path = [=](std::string_view property) {
        return values == Values::paths || transmit::is_file_property(property);
    };
    key.check_file = values == Values::paths ? check_property_file : check_location;
    return key;
}

// Finds a member in a Config that is const or not.
#define MEMBER(path) [](auto& config) -> decltype(auto) { return (config.path); }

// clang-format off
std::vector<ConfigKey> make_keys() {
    return {
        text("node", MEMBER(node), 0, 255,
             "This host's name in events. Empty: its host name."),

        size("capture.ring_bytes", MEMBER(capture.ring_bytes), 4 * kib, gib, Steps::powers_of_two,
             "The ring between kernel and agent. What does not fit overflows."),
        integer("capture.overflow_records", MEMBER(capture.overflow_records), 0, 16777216, "",
                "Records kept beyond the ring; those that do not fit are lost and counted."),
        integer("capture.max_connections", MEMBER(capture.max_connections), 64, 16777216, "",
                "Connections open at once whose birth is remembered."),
        integer("capture.drain_interval_ms", MEMBER(capture.drain_interval_ms), 1, 10000, "milliseconds",
                "How long a record may wait in a ring that is nearly empty."),
        integer("capture.priority_boost", MEMBER(capture.priority_boost), 0, 40, "",
                "By how many steps of niceness the reader of the ring is raised when that overflows."),
        integer("capture.sweep_interval_secs", MEMBER(capture.sweep_interval_secs), 1, 3600, "seconds",
                "How often births are looked for whose socket is gone."),
        choice("capture.calls", MEMBER(capture.calls), {"auto", "trampolines", "tracepoints", "off"},
               "How results of connect() and accept() are seen. auto: by trampolines, or else by tracepoints."),
        text("capture.pin", MEMBER(capture.pin), 0, 255,
             "Where on a bpffs tracing goes on while no agent runs (run with Kafka). Empty: it ends with the agent."),
        integer("capture.abandon_after_secs", MEMBER(capture.abandon_after_secs), 2, 604800, "seconds",
                "Pinned programs that hear no agent for so long switch themselves off."),
        text("capture.btf", MEMBER(capture.btf), 0, 4095,
             "The file with the kernel's types. Empty: /sys/kernel/btf/vmlinux."),
        boolean("capture.include_self", MEMBER(capture.include_self),
                "Whether the agent's own connections are told too."),

        integer("connections.progress_interval_secs", MEMBER(connections.progress_interval_secs), 0, 86400, "seconds",
                "How often an open connection is told of. 0: only when it ends."),
        boolean("connections.opened", MEMBER(connections.opened),
                "Whether a connection is told of when it is established, too."),

        text("context.proc", MEMBER(context.proc), 1, 4095,
             "Where the host's procfs is mounted."),
        text("context.cgroup", MEMBER(context.cgroup), 0, 4095,
             "Where the host's cgroup2 is mounted. Empty: looked up in self/mounts of context.proc."),
        text("context.kubelet_logs", MEMBER(context.kubelet_logs), 0, 4095,
             "Where a kubelet's log folders are, pods and containers: their names have those of pods. Empty: not asked."),
        text("context.docker", MEMBER(context.docker), 0, 4095,
             "Docker's own folder, which has the names of its containers. Empty: not asked."),
        text("context.podman", MEMBER(context.podman), 0, 4095,
             "podman's own folder, the same. Empty: not asked."),
        integer("context.wait_ms", MEMBER(context.wait_ms), 0, 10000, "milliseconds",
                "How long an event may wait for the names of its pod, and those behind it with it. 0: not."),
        integer("context.process_cache_entries", MEMBER(context.process_cache_entries), 64, 1048576, "",
                "Processes remembered."),

        api_server("kubernetes.api_server", MEMBER(kubernetes.api_server),
                   "The API server that is asked for names of pods and workloads. in-cluster: that of the pod that the "
                   "agent runs in. Empty: nobody is asked."),
        text("kubernetes.token_file", MEMBER(kubernetes.token_file), 0, 4095,
             "The file with the bearer token for it, which is read anew for each request. Empty: none."),
        text("kubernetes.ca_file", MEMBER(kubernetes.ca_file), 0, 4095,
             "The file with the certificates that its own must come from. Empty: those of this system."),
        boolean("kubernetes.remote", MEMBER(kubernetes.remote),
                "Whether remote ends are named, too: all pods, services and nodes of the cluster are watched."),

        text("spool.directory", MEMBER(spool.directory), 1, 4095,
             "Where events wait for Kafka. Made if it is missing."),
        size("spool.max_bytes", MEMBER(spool.max_bytes), mib, 64 * tib, Steps::any,
             "How much may wait, as stored; beyond it the oldest events are removed and counted."),
        size("spool.min_free_bytes", MEMBER(spool.min_free_bytes), 0, tib, Steps::any,
             "Below it the spool does not grow, and removes its oldest events instead. At most a tenth of the disk."),
        integer("spool.max_age_hours", MEMBER(spool.max_age_hours), 0, 87600, "hours",
                "How long an event may wait; older ones are removed and counted. 0: however long."),
        choice("spool.sync", MEMBER(spool.sync), {"normal", "full"},
               "What a power cut may take. normal: the last second. full: nothing that the agent counts as stored."),
        size("spool.memory_bytes", MEMBER(spool.memory_bytes), mib, gib, Steps::any,
             "How much may wait in memory while the disk does not take it."),
        boolean("spool.live_first", MEMBER(spool.live_first),
                "Whether what happens now is delivered before what waits since an outage. false: all in its order."),

        brokers("kafka.brokers", MEMBER(kafka.brokers),
                "The brokers to ask first. Empty: no Kafka."),
        topic("kafka.topics.connections", MEMBER(kafka.topics[0]), "The topic of connection events."),
        topic("kafka.topics.agents", MEMBER(kafka.topics[1]), "The topic of the agents' reports."),
        choice("kafka.framing", MEMBER(kafka.framing), {"raw", "confluent"},
               "raw: the bare protobuf message. confluent: behind the header of a schema registry."),
        integer("kafka.schema_ids.connections", MEMBER(kafka.schema_ids[0]), 0, 2147483647, "",
                "The registry's id of the schema of connection events, for framing confluent."),
        integer("kafka.schema_ids.agents", MEMBER(kafka.schema_ids[1]), 0, 2147483647, "",
                "The registry's id of the schema of agents' reports, for framing confluent."),
        properties("kafka.properties", MEMBER(kafka.properties), "kafka.property_files", MEMBER(kafka.property_files),
                   Values::plain, "Settings of librdkafka by its own names."),
        properties("kafka.property_files", MEMBER(kafka.property_files), "kafka.properties", MEMBER(kafka.properties),
                   Values::paths, "Settings of librdkafka whose values are in files: for secrets."),

        choice("output.format", MEMBER(output_format), {"table", "wide", "jsonl", "csv"},
               "How events are printed when there are no kafka.brokers."),

        integer("report.interval_secs", MEMBER(report_interval_secs), 1, 3600, "seconds",
                "How often the agent reports on itself."),

        text("serve.socket", MEMBER(serve.socket), 0, 107,
             "The Unix socket on which the agent says how it is (tcptrail status). Empty: none."),
        listen_address("serve.metrics.listen", MEMBER(serve.metrics.listen),
                       "Where /metrics, /healthz and /readyz are answered by HTTP. Empty: nowhere."),
        token_file("serve.metrics.token_file", MEMBER(serve.metrics.token_file),
                   "The bearer token that /metrics asks for; needed where other hosts can ask. Empty: none."),
        choices<serve::Label>("serve.metrics.labels", MEMBER(serve.metrics.labels), serve::label_names,
                "What the metrics of connections are told apart by, besides the role."),
        choices<serve::Histogram>("serve.metrics.histograms", MEMBER(serve.metrics.histograms), serve::histogram_names,
                "Which distributions of connections are told."),
        integer("serve.metrics.max_series", MEMBER(serve.metrics.max_series), 1000, 200000, "",
                "How many series the metrics of connections have at most: 24 for each set of labels and 14 for each of its "
                "histograms, which is room for 122 sets by default. What finds no room is summed up as other."),

        choice("log.level", MEMBER(log_level), {"debug", "info", "warning", "error"},
               "The least important messages that are logged."),
        choice("log.format", MEMBER(log_format), {"auto", "text", "json"},
               "auto: text on a terminal and in the journal, JSON elsewhere."),
    };
}
// clang-format on

#undef MEMBER

}  // namespace

const std::vector<ConfigKey>& config_keys() {
    static const std::vector<ConfigKey> keys = make_keys();
    return keys;
}

const ConfigKey* find_config_key(std::string_view name) {
    const auto& keys = config_keys();
    const auto key =
        std::find_if(keys.begin(), keys.end(), [&](const ConfigKey& k) { return k.name == name; });
    return key == keys.end() ? nullptr : &*key;
}

std::string closest_config_key(std::string_view name) {
    std::vector<std::string> names;
    for (const ConfigKey& key : config_keys()) {
        for (size_t dot = key.name.find('.'); dot != std::string_view::npos;
             dot = key.name.find('.', dot + 1))
            names.emplace_back(key.name.substr(0, dot));
        names.emplace_back(key.name);
    }
    std::string found = closest(name, names);
    if (!found.empty()) return found;
    // The right key in the wrong section, or in none.
    const auto last = [](std::string_view full) { return std::string(full.substr(full.rfind('.') + 1)); };
    std::vector<std::string> lasts;
    for (const std::string& candidate : names)
        lasts.push_back(last(candidate));
    found = closest(last(name), lasts);
    const auto candidate = std::find(lasts.begin(), lasts.end(), found);
    return found.empty() ? found : names[static_cast<size_t>(candidate - lasts.begin())];
}

bool is_config_section(std::string_view name) {
    return !name.empty() && !names_in_section(name).empty();
}

std::vector<std::string> names_in_section(std::string_view section) {
    const std::string prefix = section.empty() ? "" : std::string(section) + ".";
    std::vector<std::string> names;
    for (const ConfigKey& key : config_keys()) {
        if (!key.name.starts_with(prefix)) continue;
        const std::string_view rest = key.name.substr(prefix.size());
        const std::string name(rest.substr(0, rest.find('.')));
        // The keys of a section stand together, so only the last can be the same.
        if (names.empty() || names.back() != name) names.push_back(name);
    }
    return names;
}

std::string environment_name(const ConfigKey& key) {
    std::string name = "TCPTRAIL_";
    for (const char c : key.name)
        name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c == '.' ? '_' : c;
    return name;
}

}  // namespace tcptrail
