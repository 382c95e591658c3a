// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "agent/config_schema.h"
#include "agent/config_values.h"
#include "agent/config_yaml.h"
#include "tests/catch.h"
#include "tests/unit/config_files.h"

using namespace tcptrail;
using tests::ConfigFolder;
using tests::load;

namespace {

std::string source_path(const std::string& path) {
    return std::filesystem::path(__FILE__).parent_path().parent_path().parent_path() / path;
}

std::string read_text(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    REQUIRE(file);
    return {std::istreambuf_iterator<char>(file), {}};
}

constexpr const char* everything = R"(
node: web-1
capture:
  ring_bytes: 64KiB
  max_connections: 1000
  drain_interval_ms: 7
  priority_boost: 0
  sweep_interval_secs: 8
  btf: /tmp/btf file
  include_self: true
context: {proc: /host/proc, cgroup: /host/cgroup, kubelet_logs: /host/log, docker: "", podman: /p, wait_ms: 70, process_cache_entries: 99}
kubernetes: {api_server: "https://[::1]:6443", token_file: /t, ca_file: /c, remote: true}
spool: {directory: "/data/\u00e9", max_bytes: 100MB}
kafka:
  brokers: [kafka-1:9092, "[::1]:9093"]
  topics: {connections: c.x, agents: a-y}
  framing: confluent
  schema_ids: {connections: 17, agents: 2147483647}
  properties: {linger.ms: 5, ssl.key.pem: "line 1\nline 2\n", acks: all, enable.idempotence: true}
output: {format: csv}
report: {interval_secs: 60}
serve:
  metrics: {listen: "[::1]:9", labels: [netns, process], histograms: [], max_series: 1000}
log: {level: error, format: json}
)";

}  // namespace

TEST_CASE("config: nothing given is the defaults") {
    const std::string defaults = show_config(Config{});
    for (const char* yaml : {"", "\n\n", "# only a comment\n", "---\n", "---\n...\n", "{}", "\xef\xbb\xbf"}) {
        INFO(yaml);
        const auto config = load(yaml);
        REQUIRE(config);
        CHECK(show_config(*config) == defaults);
    }
    const auto none = load_config({});
    REQUIRE(none);
    CHECK(show_config(*none) == defaults);
}

TEST_CASE("config: each key reaches its member") {
    const auto config = load(everything);
    REQUIRE(config);
    CHECK(config->node == "web-1");
    CHECK(config->capture.ring_bytes == 65536);
    CHECK(config->capture.max_connections == 1000);
    CHECK(config->capture.drain_interval_ms == 7);
    CHECK(config->capture.priority_boost == 0);
    CHECK(config->capture.sweep_interval_secs == 8);
    CHECK(config->capture.btf == "/tmp/btf file");
    CHECK(config->capture.include_self);
    CHECK(config->context.proc == "/host/proc");
    CHECK(config->context.cgroup == "/host/cgroup");
    CHECK(config->context.kubelet_logs == "/host/log");
    CHECK(config->context.docker.empty());
    CHECK(config->context.podman == "/p");
    CHECK(config->context.wait_ms == 70);
    CHECK(config->context.process_cache_entries == 99);
    CHECK(config->kubernetes.api_server == "https://[::1]:6443");
    CHECK(config->kubernetes.token_file == "/t");
    CHECK(config->kubernetes.ca_file == "/c");
    CHECK(config->kubernetes.remote);
    CHECK(config->spool.directory == "/data/é");
    CHECK(config->spool.max_bytes == 100'000'000);
    CHECK(config->kafka.brokers == "kafka-1:9092,[::1]:9093");
    CHECK(config->kafka.topics[static_cast<int>(Topic::connections)] == "c.x");
    CHECK(config->kafka.topics[static_cast<int>(Topic::agents)] == "a-y");
    CHECK(config->kafka.framing == transmit::Framing::confluent);
    CHECK(config->kafka.schema_ids[static_cast<int>(Topic::connections)] == 17);
    CHECK(config->kafka.schema_ids[static_cast<int>(Topic::agents)] == 2147483647);
    CHECK(config->kafka.properties == ConfigKey::Map{{"linger.ms", "5"},
                                                     {"ssl.key.pem", "line 1\nline 2\n"},
                                                     {"acks", "all"},
                                                     {"enable.idempotence", "true"}});
    CHECK(config->output_format == OutputFormat::csv);
    CHECK(config->report_interval_secs == 60);
    CHECK(config->serve.metrics.listen == "[::1]:9");
    CHECK(config->serve.metrics.labels == std::vector{serve::Label::netns, serve::Label::process});
    CHECK(config->serve.metrics.histograms.empty());
    CHECK(config->serve.metrics.max_series == 1000);
    CHECK(config->log_level == LogLevel::error);
    CHECK(config->log_format == LogFormat::json);
}

TEST_CASE("config: metrics that other hosts can ask for need a token") {
    using tests::error_of;
    for (const char* own : {"127.0.0.1:9466", "127.1.2.3:1", "[::1]:65535", "/run/x.sock", ""}) {
        INFO(own);
        CHECK(load("", {}, {std::string("serve.metrics.listen=") + own}));
    }
    const ConfigFolder folder;
    const std::string token = "serve.metrics.token_file=" + folder.write("token", "0123456789abcdef\n");
    for (const char* open : {"0.0.0.0:9466", "10.0.0.1:9466", "[::]:9466", "[::ffff:127.0.0.1]:9466"}) {
        const std::string listen = std::string("serve.metrics.listen=") + open;
        CHECK(error_of("", {}, {listen}) ==
              "--set serve.metrics.listen: \"" + std::string(open) +
                  "\" can be reached from other hosts; allowed: this host's own, or serve.metrics.token_file "
                  "with it");
        CHECK(load("", {}, {listen, token}));
    }
    for (const char* wrong : {"9466", "localhost:9466", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536",
                              "::1:9", "127.0.0.1:9x", "[::1]", "x.sock"}) {
        INFO(wrong);
        CHECK_FALSE(error_of("", {}, {std::string("serve.metrics.listen=") + wrong}).empty());
    }
    CHECK_FALSE(error_of("", {}, {"serve.metrics.listen=/" + std::string(120, 'x')}).empty());
    for (const char* wrong : {"", "\n", "0123456789abcde", "0123456789 abcdef", "0123456789abcdef\nx"}) {
        INFO(wrong);
        CHECK_FALSE(error_of("", {}, {"serve.metrics.token_file=" + folder.write("wrong", wrong)}).empty());
    }
    CHECK(error_of("", {}, {"serve.metrics.token_file=/nowhere/token"})
              .starts_with("--set serve.metrics.token_file: /nowhere/token: cannot be read"));
}

TEST_CASE("config: lists of choices") {
    const auto labels = [](const char* text) {
        const auto config = load("", {}, {std::string("serve.metrics.labels=") + text});
        return config ? std::optional(config->serve.metrics.labels) : std::nullopt;
    };
    using serve::Label;
    CHECK(labels("") == std::vector<Label>{});
    CHECK(labels(" cgroup , netns") == std::vector{Label::cgroup, Label::netns});
    for (const char* wrong : {"pid", "process,process", "process,,netns", ",", "Process", "process netns"}) {
        INFO(wrong);
        CHECK_FALSE(labels(wrong));
    }
    CHECK(tests::error_of("serve: {metrics: {labels: [process, pod]}}") ==
          "FILE:1: serve.metrics.labels: \"pod\" is not one of the choices; allowed: process, container_id, "
          "cgroup, server_address, server_port, remote_scope, netns, systemd_unit, container_name, "
          "k8s_namespace_name, "
          "k8s_pod_name, k8s_container_name, k8s_workload_name, k8s_workload_kind, each once");
}

TEST_CASE("config: sizes") {
    const auto bytes = [](const std::string& text) {
        const auto config = load("", {}, {"spool.max_bytes=" + text});
        REQUIRE(config);
        return config->spool.max_bytes;
    };
    CHECK(bytes("1048576") == 1048576);
    CHECK(bytes("2048KiB") == 2u << 20);
    CHECK(bytes("8MiB") == 8u << 20);
    CHECK(bytes("3GiB") == 3ull << 30);
    CHECK(bytes("64TiB") == 64ull << 40);
    CHECK(bytes("5000kB") == 5'000'000);
    CHECK(bytes("100MB") == 100'000'000);
    CHECK(bytes("2GB") == 2'000'000'000);
    CHECK(bytes("1TB") == 1'000'000'000'000);

    CHECK(show_size(0) == "0");
    CHECK(show_size(1000) == "1kB");
    CHECK(show_size(1024) == "1KiB");
    CHECK(show_size(1536 * 1024) == "1536KiB");
    CHECK(show_size(100'000'000) == "100MB");
    CHECK(show_size(1'048'577) == "1048577");
}

TEST_CASE("config: anchors and aliases are allowed") {
    const auto config = load("capture: {btf: &path /x}\ncontext: {proc: *path}\nspool: {directory: *path}\n");
    REQUIRE(config);
    CHECK(config->context.proc == "/x");
    CHECK(config->spool.directory == "/x");
}

TEST_CASE("config: the file is overridden by the environment, that by --set, that by the next --set") {
    const std::string yaml =
        "node: file\nlog: {level: error}\nreport: {interval_secs: 2}\nspool: {max_bytes: 2MiB}\n";
    const std::vector<std::string> environment = {"PATH=/bin", "TCPTRAIL_NODE=environment",
                                                  "TCPTRAIL_REPORT_INTERVAL_SECS=3",
                                                  "TCPTRAIL_LOG_LEVEL=warning"};
    const auto config = load(yaml, environment, {"node=set", "node=set again", "log.level=debug"});
    REQUIRE(config);
    CHECK(config->node == "set again");
    CHECK(config->log_level == LogLevel::debug);
    CHECK(config->report_interval_secs == 3);
    CHECK(config->spool.max_bytes == 2u << 20);
    CHECK(config->capture.ring_bytes == 8u << 20);
}

TEST_CASE("config: every key has a variable, and no two have the same") {
    std::set<std::string> names;
    const Config defaults;
    for (const ConfigKey& key : config_keys()) {
        INFO(key.name);
        CHECK(names.insert(environment_name(key)).second);
        // A map shows as {}, which is empty as text, and a list has brackets.
        std::string value = key.kind == ConfigKey::Kind::map ? "" : key.show(defaults);
        if (key.kind == ConfigKey::Kind::list) value = value.substr(1, value.size() - 2);
        if (value.starts_with('"')) value = value.substr(1, value.size() - 2);
        const auto config = load("", {environment_name(key) + "=" + value});
        REQUIRE(config);
        CHECK(show_config(*config) == show_config(defaults));
    }
    CHECK(names.contains("TCPTRAIL_KAFKA_BROKERS"));
    CHECK(names.contains("TCPTRAIL_CAPTURE_RING_BYTES"));
}

TEST_CASE("config: maps are merged key by key") {
    const std::string yaml = "kafka: {properties: {linger.ms: 1, batch.size: 2000, client.id: file}}";
    const auto config =
        load(yaml, {"TCPTRAIL_KAFKA_PROPERTIES={linger.ms: 2, socket.keepalive.enable: true}"},
             {"kafka.properties.linger.ms=3", "kafka.properties={client.id: set}",
              "kafka.properties.client.rack=a=b, c"});
    REQUIRE(config);
    CHECK(config->kafka.properties == ConfigKey::Map{{"batch.size", "2000"},
                                                     {"client.id", "set"},
                                                     {"client.rack", "a=b, c"},
                                                     {"linger.ms", "3"},
                                                     {"socket.keepalive.enable", "true"}});
}

TEST_CASE("config: values from the environment and --set are taken as they are") {
    for (const char* text :
         {"yes", "null", "~", "0x10", "[a", "a: b", "# x", "\"quoted\"", " blank ", "*a", "!t"}) {
        INFO(text);
        const auto set = load("", {}, {std::string("node=") + text});
        REQUIRE(set);
        CHECK(set->node == text);
        const auto environment = load("", {std::string("TCPTRAIL_NODE=") + text});
        REQUIRE(environment);
        CHECK(environment->node == text);
    }
    const auto brokers = load("kafka: {brokers: [a:1]}", {}, {"kafka.brokers= b:2 , c:3"});
    REQUIRE(brokers);
    CHECK(brokers->kafka.brokers == "b:2,c:3");
    const auto none = load("kafka: {brokers: 'a:1,b:2'}", {"TCPTRAIL_KAFKA_BROKERS="});
    REQUIRE(none);
    CHECK(none->kafka.brokers.empty());
}

TEST_CASE("config: variables of Kubernetes services and TCPTRAIL_CONFIG are no keys") {
    const auto config =
        load("", {"TCPTRAIL_CONFIG=/etc/x", "TCPTRAIL_SERVICE_HOST=10.0.0.1", "TCPTRAIL_SERVICE_PORT=9",
                  "TCPTRAIL_SERVICE_PORT_METRICS=9", "TCPTRAIL_PORT=tcp://10.0.0.1:9",
                  "TCPTRAIL_PORT_9_TCP=tcp://10.0.0.1:9", "TCPTRAIL_PORT_9_TCP_PORT=9",
                  "TCPTRAIL_METRICS_PORT_9_TCP_ADDR=10.0.0.1", "TCPTRAILX=1"});
    REQUIRE(config);
    CHECK(show_config(*config) == show_config(Config{}));
}

TEST_CASE("config: property_files") {
    const ConfigFolder folder;
    const std::string password = folder.write("password", "s3cret\n");
    const auto config = load("", {}, {"kafka.property_files.sasl.password=" + password});
    REQUIRE(config);
    CHECK(config->kafka.property_files == ConfigKey::Map{{"sasl.password", password}});
    CHECK(show_config(*config).find("sasl.password: " + password) != std::string::npos);
}

TEST_CASE("config: what show_config prints loads as the same configuration") {
    const auto first = load(everything);
    REQUIRE(first);
    const auto second = load(show_config(*first));
    REQUIRE(second);
    CHECK(second->kafka.brokers == first->kafka.brokers);
    CHECK(second->spool.directory == first->spool.directory);
    CHECK(show_config(*second) == show_config(*first));
}

TEST_CASE("config: odd texts survive show_config") {
    for (const std::string text :
         {"null", "Yes",           "~",   "-",   "- a", "...", "---", "a: b", "a #b", " a ", "\"", "\\", "'",
          "{a}",  "é\u0085\u2028", "1e3", "0x1", "=",   "<<",  "!x",  "&x",   "*x",   "%x",  "@x"}) {
        INFO(text);
        Config config;
        config.node = text;
        config.kafka.properties["client.id"] = text + "\n\t\x01" + text;
        const auto loaded = load(show_config(config));
        REQUIRE(loaded);
        CHECK(loaded->node == text);
        CHECK(loaded->kafka.properties == config.kafka.properties);
    }
}

TEST_CASE("config: secrets are not shown") {
    Config config;
    config.kafka.properties = {{"sasl.password", "hunter2"},
                               {"ssl.key.password", "hunter2"},
                               {"ssl.key.pem", "hunter2"},
                               {"sasl.jaas.config", "hunter2"},
                               {"SASL.OAuthBearer.Client.Secret", "hunter2"},
                               {"ssl.key.location", "/etc/key"},
                               {"sasl.username", "tcptrail"}};
    const std::string shown = show_config(config);
    CHECK(shown.find("hunter2") == std::string::npos);
    CHECK(shown.find("sasl.password: \"********\"\n") != std::string::npos);
    CHECK(shown.find("ssl.key.location: /etc/key\n") != std::string::npos);
    CHECK(shown.find("sasl.username: tcptrail\n") != std::string::npos);
}

TEST_CASE("config: the example file has every key at its default") {
    const std::string path = source_path("deploy/tcptrail.yaml");
    const auto config = load_config({path, {}, {}});
    REQUIRE(config);
    CHECK(show_config(*config) == show_config(Config{}));

    const auto root = read_yaml(read_text(path));
    REQUIRE(root);
    std::set<std::string> present;
    const auto collect = [&](const auto& self, const YamlNode& map, const std::string& prefix) -> void {
        for (const YamlEntry& entry : map.entries) {
            present.insert(prefix + entry.key);
            self(self, *entry.value, prefix + entry.key + ".");
        }
    };
    collect(collect, **root, "");
    for (const ConfigKey& key : config_keys()) {
        INFO(key.name);
        CHECK(present.contains(std::string(key.name)));
    }
}

TEST_CASE("config: describe_config has every key, its default and what it does") {
    const std::string text = describe_config();
    for (const ConfigKey& key : config_keys()) {
        INFO(key.name);
        CHECK(text.find("\n" + std::string(key.name) + " ") + 1 <= text.size());
        CHECK(text.find(key.allowed) != std::string::npos);
        CHECK(text.find(key.description) != std::string::npos);
    }
    CHECK(text.find("size in bytes; default 8MiB; allowed: 4KiB to 1GiB, a power of two") !=
          std::string::npos);
}

// Mutated YAML: whatever comes, the answer is a configuration that show_config can repeat, or an error of
// one line.
TEST_CASE("config: random damage never gets through, throws or crashes") {
    const unsigned seed = 20240131;
    INFO("seed " << seed);
    std::mt19937 random(seed);
    const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
    const std::string example = read_text(source_path("deploy/tcptrail.yaml"));
    const std::string pieces[] = {"[",
                                  "]",
                                  "{",
                                  "}",
                                  ":",
                                  ": ",
                                  "- ",
                                  "\n",
                                  "\t",
                                  "\"",
                                  "'",
                                  "&a ",
                                  "*a ",
                                  "!x ",
                                  "|\n",
                                  "? ",
                                  "---\n",
                                  "...\n",
                                  "#",
                                  ",",
                                  "%",
                                  "\xff",
                                  std::string(1, '\0'),
                                  "~",
                                  "<<: ",
                                  "99999999999999999999",
                                  "kafka:\n",
                                  "  properties: {acks: 1}\n",
                                  "\\",
                                  "\xc2\x85"};
    const ConfigFolder folder;
    int accepted = 0;
    for (int round = 0; round < 4000; round++) {
        std::string text = round % 2 == 0 ? everything : example;
        for (size_t n = 1 + below(4); n > 0; n--) {
            const size_t at = below(text.size() + 1);
            switch (below(4)) {
                case 0:
                    text.insert(at, pieces[below(std::size(pieces))]);
                    break;
                case 1:
                    text.erase(at, 1 + below(20));
                    break;
                case 2:
                    text.resize(at);
                    break;
                default:
                    if (at < text.size()) text[at] = static_cast<char>(below(256));
            }
        }
        const std::string file = folder.write("c.yaml", text);
        const auto config =
            load_config({file, {"TCPTRAIL_KAFKA_PROPERTIES=" + text.substr(0, below(200))}, {text}});
        const auto alone = load_config({file, {}, {}});
        INFO(text);
        if (!config) REQUIRE(config.error().message.find('\n') == std::string::npos);
        if (alone) {
            accepted++;
            REQUIRE(load_config({folder.write("shown.yaml", show_config(*alone)), {}, {}}));
        } else {
            REQUIRE(alone.error().message.starts_with(file + ":"));
            REQUIRE(alone.error().message.find('\n') == std::string::npos);
            REQUIRE(alone.error().code == ExitCode::configuration);
        }
    }
    // The damage must be of both kinds for the test to say something.
    CHECK(accepted > 100);
    CHECK(accepted < 3900);
}
