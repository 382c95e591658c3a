// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with a configuration is told in one line: where, what, and what is allowed.
#include <librdkafka/rdkafka.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/unit/config_files.h"

using tests::ConfigFolder;
using tests::error_of;

namespace {

struct BrokenFile {
    std::string yaml;
    std::string error;
};

struct BrokenText {
    std::string text;
    std::string error;
};

const std::string ring = "; allowed: 4KiB to 1GiB, a power of two";
const std::string brokers = "; allowed: host:port or [IPv6 address]:port, ports 1 to 65535";
const std::string topic = "; allowed: 1 to 249 of the characters a-z A-Z 0-9 . _ - but not . or ..";

void check(const std::vector<BrokenFile>& cases) {
    for (const auto& [yaml, error] : cases) {
        INFO(yaml);
        CHECK(error_of(yaml) == error);
    }
}

}  // namespace

TEST_CASE("config errors: keys") {
    check({
        {"ndoe: x\n", "FILE:1: unknown key \"ndoe\"; did you mean node?"},
        {"xyzzy: x\n",
         "FILE:1: unknown key \"xyzzy\"; allowed: a map of node, capture, connections, context, kubernetes, "
         "spool, "
         "kafka, output, "
         "report, serve, log"},
        {"node: x\ncapture:\n  ring_byte: 4096\n",
         "FILE:3: unknown key \"capture.ring_byte\"; did you mean capture.ring_bytes?"},
        {"node: x\n\nring_bytes: 4096\n",
         "FILE:3: unknown key \"ring_bytes\"; did you mean capture.ring_bytes?"},
        {"spool: {max_connections: 1}\n",
         "FILE:1: unknown key \"spool.max_connections\"; did you mean capture.max_connections?"},
        {"spool:\n  directory: /x\n  colour: blue\n",
         "FILE:3: unknown key \"spool.colour\"; allowed: a map of directory, max_bytes, min_free_bytes, "
         "max_age_hours, sync, "
         "memory_bytes, live_first"},
        {"kafka:\n  topics:\n    connection: x\n",
         "FILE:3: unknown key \"kafka.topics.connection\"; did you mean kafka.topics.connections?"},
        {"capture.ring_bytes: 4096\n",
         "FILE:1: key \"capture.ring_bytes\" is written with dots; allowed: nested maps"},
        {"\"a\\nb\": 1\n",
         "FILE:1: unknown key \"a\\nb\"; allowed: a map of node, capture, connections, context, kubernetes, "
         "spool, "
         "kafka, output, "
         "report, serve, log"},
        {"<<: {node: x}\n",
         "FILE:1: unknown key \"<<\"; allowed: a map of node, capture, connections, context, kubernetes, "
         "spool, kafka, "
         "output, "
         "report, serve, log"},

        {"node: x\nlog: {}\nnode: y\n",
         "FILE:3: duplicate key \"node\", first in line 1; each key is allowed once"},
        {"capture:\n  btf: x\n  include_self: true\n  btf: x\n",
         "FILE:4: duplicate key \"btf\", first in line 2; each key is allowed once"},
        {"kafka:\n  properties:\n    linger.ms: 5\n    \"linger.ms\": 5\n",
         "FILE:4: duplicate key \"linger.ms\", first in line 3; each key is allowed once"},
        {"kafka: {topics: {agents: a, agents: b}}\n",
         "FILE:1: duplicate key \"agents\", first in line 1; each key is allowed once"},
        {"capture: {}\nspool: {}\ncapture: {}\n",
         "FILE:3: duplicate key \"capture\", first in line 1; each key is allowed once"},
    });
}

TEST_CASE("config errors: one kind of value where another is wanted") {
    check({
        {"- node\n",
         "FILE:1: the document is a list; allowed: a map of node, capture, connections, context, kubernetes, "
         "spool, "
         "kafka, output, "
         "report, serve, log"},
        {"\nhello\n",
         "FILE:2: the document is a single value; allowed: a map of node, capture, connections, context, "
         "kubernetes, "
         "spool, "
         "kafka, output, report, serve, log"},
        {"node: {name: x}\n", "FILE:1: node: is a map; allowed: 0 to 255 bytes, no control characters"},
        {"node: [x]\n", "FILE:1: node: is a list; allowed: 0 to 255 bytes, no control characters"},
        {"node:\n", "FILE:1: node: has no value; allowed: 0 to 255 bytes, no control characters"},
        {"log:\n  level: ~\n", "FILE:2: log.level: has no value; allowed: debug, info, warning, error"},
        {"log: null\n", "FILE:1: log: has no value; allowed: a map of level, format"},
        {"log:\n  # level: info\nnode: x\n", "FILE:1: log: has no value; allowed: a map of level, format"},
        {"log: info\n", "FILE:1: log: is a single value; allowed: a map of level, format"},
        {"log: [level]\n", "FILE:1: log: is a list; allowed: a map of level, format"},
        {"kafka: {brokers: {host: a}}\n", "FILE:1: kafka.brokers: is a map" + brokers},
        {"kafka:\n  brokers:\n    - a:1\n    - b: 2\n",
         "FILE:2: kafka.brokers: has an element that is a map" + brokers},
        {"kafka: {brokers: [a:1, ~]}\n", "FILE:1: kafka.brokers: has an element that has no value" + brokers},
        {"kafka: {properties: [linger.ms]}\n",
         "FILE:1: kafka.properties: is a list; allowed: librdkafka's names: its values"},
        {"kafka: {properties: linger.ms=5}\n",
         "FILE:1: kafka.properties: is a single value; allowed: librdkafka's names: its values"},
        {"kafka:\n  properties:\n    sasl:\n      password: x\n",
         "FILE:3: kafka.properties.sasl: is a map; allowed: a single value"},
        {"kafka:\n  properties:\n    linger.ms:\n",
         "FILE:3: kafka.properties.linger.ms: has no value; allowed: a single value"},
    });
}

TEST_CASE("config errors: numbers, sizes, booleans, choices") {
    const std::string interval = "FILE:1: report.interval_secs: ";
    const std::string in_range = "; allowed: 1 to 3600";
    check({
        {"report: {interval_secs: 0}", interval + "\"0\" is too small" + in_range},
        {"report: {interval_secs: 3601}", interval + "\"3601\" is too large" + in_range},
        {"report: {interval_secs: 99999999999999999999999}",
         interval + "\"99999999999999999999999\" is too large" + in_range},
        {"report: {interval_secs: 4294967297}", interval + "\"4294967297\" is too large" + in_range},
        {"report: {interval_secs: -5}", interval + "\"-5\" is negative" + in_range},
        {"report: {interval_secs: +5}", interval + "\"+5\" is not a decimal integer" + in_range},
        {"report: {interval_secs: 5.0}", interval + "\"5.0\" is not a decimal integer" + in_range},
        {"report: {interval_secs: 0x10}", interval + "\"0x10\" is not a decimal integer" + in_range},
        {"report: {interval_secs: 010}", interval + "\"010\" begins with a zero" + in_range},
        {"report: {interval_secs: 10s}", interval + "\"10s\" is not a decimal integer" + in_range},
        {"report: {interval_secs: ''}", interval + "\"\" is not a decimal integer" + in_range},
        {"report: {interval_secs: true}", interval + "\"true\" is not a decimal integer" + in_range},

        {"capture: {ring_bytes: 5000}", "FILE:1: capture.ring_bytes: \"5000\" is not a power of two" + ring},
        {"capture: {ring_bytes: 2KiB}", "FILE:1: capture.ring_bytes: \"2KiB\" is too small" + ring},
        {"capture: {ring_bytes: 2GiB}", "FILE:1: capture.ring_bytes: \"2GiB\" is too large" + ring},
        {"capture: {ring_bytes: 17179869184GiB}",
         "FILE:1: capture.ring_bytes: \"17179869184GiB\" is too large" + ring},
        {"capture: {ring_bytes: -8MiB}", "FILE:1: capture.ring_bytes: \"-8MiB\" is negative" + ring},
        {"capture: {ring_bytes: 1e400 MB}",
         "FILE:1: capture.ring_bytes: \"1e400 MB\" is not a size such as 1048576, 512KiB or 100MB" + ring},
        {"capture: {ring_bytes: MiB}",
         "FILE:1: capture.ring_bytes: \"MiB\" is not a size such as 1048576, 512KiB or 100MB" + ring},
        {"spool: {max_bytes: 1000000}",
         "FILE:1: spool.max_bytes: \"1000000\" is too small; allowed: 1MiB to 64TiB"},

        {"capture: {include_self: yes}",
         "FILE:1: capture.include_self: \"yes\" is not a boolean; allowed: true, false"},
        {"capture: {include_self: 1}",
         "FILE:1: capture.include_self: \"1\" is not a boolean; allowed: true, false"},
        {"capture: {include_self: True}",
         "FILE:1: capture.include_self: \"True\" is not a boolean; allowed: true, false"},
        {"log: {level: warn}",
         "FILE:1: log.level: \"warn\" is not one of the choices; allowed: debug, info, warning, error"},
        {"output: {format: ''}",
         "FILE:1: output.format: \"\" is not one of the choices; allowed: table, wide, jsonl, csv"},
    });
}

TEST_CASE("config errors: texts") {
    check({
        {"spool: {directory: spool}",
         "FILE:1: spool.directory: \"spool\" is relative to where the agent is started; allowed: an absolute "
         "path"},
        {"spool: {directory: ''}",
         "FILE:1: spool.directory: is empty; allowed: 1 to 4095 bytes, no control characters"},
        {"node: \"a\\0b\"",
         "FILE:1: node: \"a\\u0000b\" has a control character; allowed: 0 to 255 bytes, no control "
         "characters"},
        {"node: \"a\\nb\"",
         "FILE:1: node: \"a\\nb\" has a control character; allowed: 0 to 255 bytes, no control characters"},
        // Cut for the message, but not in the middle of a character.
        {"node: " + std::string(59, 'x') + "é" + std::string(198, 'y'),
         "FILE:1: node: \"" + std::string(59, 'x') +
             "…\" is 259 bytes long; allowed: 0 to 255 bytes, no control characters"},
    });
}

TEST_CASE("config errors: brokers and topics") {
    const std::string place = "FILE:1: kafka.brokers: ";
    check({
        {"kafka: {brokers: [a:1, '']}", place + "has an element that is empty" + brokers},
        {"kafka: {brokers: ['']}", place + "has an element that is empty" + brokers},
        {"kafka: {brokers: ['a:1,']}", place + "has an empty element" + brokers},
        {"kafka: {brokers: 'a:1,,b:2'}", place + "has an empty element" + brokers},
        {"kafka: {brokers: a}", place + "\"a\" is not a broker" + brokers},
        {"kafka: {brokers: 'a:'}", place + "\"a:\" is not a broker" + brokers},
        {"kafka: {brokers: ':9092'}", place + "\":9092\" is not a broker" + brokers},
        {"kafka: {brokers: [a:1, a:65536]}", place + "\"a:65536\" is not a broker" + brokers},
        {"kafka: {brokers: [a:0]}", place + "\"a:0\" is not a broker" + brokers},
        {"kafka: {brokers: 'fe80::1:9092'}", place + "\"fe80::1:9092\" is not a broker" + brokers},
        {"kafka: {brokers: 'http://a:9092'}", place + "\"http://a:9092\" is not a broker" + brokers},
        {"kafka: {brokers: a b:9092}", place + "\"a b:9092\" is not a broker" + brokers},

        {"kafka: {topics: {connections: a b}}",
         "FILE:1: kafka.topics.connections: \"a b\" is not a topic name" + topic},
        {"kafka: {topics: {agents: ..}}", "FILE:1: kafka.topics.agents: \"..\" is not a topic name" + topic},
        {"kafka: {topics: {agents: ''}}", "FILE:1: kafka.topics.agents: \"\" is not a topic name" + topic},
        {"kafka: {topics: {agents: " + std::string(250, 't') + "}}",
         "FILE:1: kafka.topics.agents: \"" + std::string(60, 't') + "…\" is not a topic name" + topic},
        {"kafka:\n  topics:\n    connections: x\n    agents: x\n",
         "FILE:4: kafka.topics.agents: \"x\" is the topic of kafka.topics.connections too; allowed: a topic "
         "for each"},
        {"kafka:\n  topics:\n    connections: tcptrail.agents\n",
         "FILE:3: kafka.topics.connections: \"tcptrail.agents\" is the topic of kafka.topics.agents too; "
         "allowed: a "
         "topic for each"},
        {"kafka:\n  schema_ids: {connections: 1}\n  framing: confluent\n",
         "FILE:3: kafka.framing: confluent needs kafka.schema_ids.agents; allowed: raw, or ids from 1"},
    });
}

TEST_CASE("config errors: addresses of API servers") {
    for (const std::string text : {"host:6443", "ftp://host", "https://", "https://http://host",
                                   "https://host/api", "https://a b", "https://user@host"}) {
        INFO(text);
        CHECK(error_of("kubernetes:\n  api_server: \"" + text + "\"\n") ==
              "FILE:2: kubernetes.api_server: \"" + text +
                  "\" is not the address of an API server; allowed: in-cluster, https://host:port, "
                  "http://host:port, or empty");
    }
}

TEST_CASE("config errors: properties of librdkafka") {
    const std::string place = "FILE:3: kafka.properties.";
    const auto property = [](const std::string& line) { return "kafka:\n  properties:\n    " + line + "\n"; };
    const std::string undocumented = "; allowed: what its CONFIGURATION.md says";
    check({
        {property("enable.idempotence: false"),
         place + "enable.idempotence: \"false\" lets retries duplicate and reorder events; allowed: true"},
        {property("acks: 1"),
         place + "acks: \"1\" lets Kafka lose events that it acknowledged; allowed: all or -1"},
        {property("request.required.acks: 0"),
         place +
             "request.required.acks: \"0\" lets Kafka lose events that it acknowledged; allowed: all or -1"},
        {property("transactional.id: x"),
         place + "transactional.id: \"x\" asks for transactions; allowed: no transactional.id"},
        {property("bootstrap.servers: a:1"),
         place + "bootstrap.servers: \"a:1\" does not belong here; allowed: brokers in kafka.brokers"},
        {property("metadata.broker.list: a:1"),
         place + "metadata.broker.list: \"a:1\" does not belong here; allowed: brokers in kafka.brokers"},
        {property("max.in.flight: 6"),
         place + "max.in.flight: \"6\" contradicts enable.idempotence; allowed: 1 to 5"},
        {property("retries: 0"), place + "retries: \"0\" contradicts enable.idempotence; allowed: 1 or more"},
        {property("queuing.strategy: lifo"),
         place + "queuing.strategy: \"lifo\" reorders events; allowed: fifo"},
        {property("delivery.report.only.error: true"),
         place + "delivery.report.only.error: \"true\" hides which events were delivered; allowed: false"},
        {property("lingr.ms: 5"),
         place + "lingr.ms: librdkafka has no such property; did you mean linger.ms?"},
        {property("sasl.passwrd: hunter2"),
         place + "sasl.passwrd: librdkafka has no such property; did you mean sasl.password?"},
        {property("no_such_thing_at_all: 5"), place + "no_such_thing_at_all: librdkafka has no such "
                                                      "property; allowed: the names in its CONFIGURATION.md"},
        {property("security.protocol: tls"),
         place +
             "security.protocol: librdkafka refuses it: Invalid value \"tls\" for configuration property "
             "\"security.protocol\"" +
             undocumented},
        {property("linger.ms: -1"), place +
                                        "linger.ms: librdkafka refuses it: Configuration property "
                                        "\"queue.buffering.max.ms\" value -1 is "
                                        "outside allowed range 0..900000" +
                                        undocumented},
        {property("linger.ms: 5ms"),
         place + "linger.ms: \"5ms\" is not a number: librdkafka would read 5; allowed: a plain number"},
        {property("client.id: \"a\\0b\""), place + "client.id: has a zero byte; allowed: text"},
    });
}

TEST_CASE("config errors: a property that librdkafka was built without") {
    char features[512] = "";
    size_t size = sizeof features;
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_get(conf, "builtin.features", features, &size);
    rd_kafka_conf_destroy(conf);
    const bool has_oidc = std::string(features).find("oidc") != std::string::npos;
    // The value of the second is a secret.
    for (const std::string property : {"sasl.oauthbearer.method", "sasl.oauthbearer.client.secret"}) {
        const std::string refusal =
            "FILE:3: kafka.properties." + property + ": librdkafka " + rd_kafka_version_str() +
            " was built without it: OAuth/OIDC depends on libcurl and OpenSSL which were not available at "
            "build time; allowed: what this build has";
        CHECK(error_of("kafka:\n  properties:\n    " + property + ": oidc\n") == (has_oidc ? "" : refusal));
    }
}

TEST_CASE("config errors: property_files") {
    const ConfigFolder folder;
    const std::string good = folder.write("good", "hunter2\n");
    const auto file = [](const std::string& line) { return "kafka:\n  property_files:\n    " + line + "\n"; };
    const std::string place = "FILE:3: kafka.property_files.";
    check({
        {file("sasl.password: " + folder.path() + "/none"),
         place + "sasl.password: file " + folder.path() +
             "/none: cannot be read: No such file or directory; allowed: a readable file"},
        {file("sasl.password: " + folder.path()),
         place + "sasl.password: file " + folder.path() + ": is a directory; allowed: a readable file"},
        {file("sasl.passwort: " + good),
         place + "sasl.passwort: librdkafka has no such property; did you mean sasl.password?"},
        {file("acks: " + folder.write("acks", "1\n")),
         place + "acks: its value lets Kafka lose events that it acknowledged; allowed: all or -1"},
        {file("sasl.password: " + folder.write("empty", "\n")),
         place + "sasl.password: file " + folder.path() + "/empty: is empty; allowed: a file with the value"},
        // What the file holds is not told.
        {file("security.protocol: " + good),
         place + "security.protocol: librdkafka refuses its value; allowed: what its CONFIGURATION.md says"},
        {"kafka:\n  properties: {sasl.password: x}\n  property_files:\n    sasl.password: " + good + "\n",
         "FILE:4: kafka.property_files.sasl.password: is in kafka.properties too; allowed: one of the two"},
    });
    CHECK(error_of(file("client.id: " + good), {}, {"kafka.properties.client.id=x"}) ==
          "--set kafka.properties.client.id: is in kafka.property_files too; allowed: one of the two");
}

TEST_CASE("config errors: text that is not YAML, or not ours") {
    check({
        {"node: x\ncapture:\n\tbtf: y\n", "FILE:3: a tab indents the line; allowed: spaces"},
        {"node: a: b\n",
         "FILE:1: not valid YAML: illegal map value; check indentation, quotes and brackets near "
         "column 8"},
        {"node: x\n}\n",
         "FILE:2: not valid YAML: illegal flow end; check indentation, quotes and brackets near "
         "column 1"},
        {"node: x\nlog: {level: info\n",
         "FILE:2: the text ends inside quotes or brackets; close what is open"},
        {"kafka:\n  brokers: [a:1\n\n",
         "FILE:2: the text ends inside quotes or brackets; close what is open"},
        {"node: 'x\n", "FILE:1: the text ends inside quotes or brackets; close what is open"},
        {"node: &a [*a]\n", "FILE:1: an alias stands inside of what it names; write it out"},
        {"node: x\n---\nnode: y\n",
         "FILE:2: something follows after the end of the document; only one document is allowed"},
        {"node: x\n...\nnode: y\n",
         "FILE:3: something follows after the end of the document; only one document is allowed"},
        {"node: !!str 5\n", "FILE:1: has the tag \"tag:yaml.org,2002:str\"; tags are not allowed"},
        {"node: x\n? [a]\n: b\n", "FILE:2: a key is not text; allowed: text in front of the colon"},
        {"node: x\n~: b\n", "FILE:2: a key is not text; allowed: text in front of the colon"},
        {"node: x\nlog: \xff\n", "FILE:2: byte 0xff is not UTF-8; the text must be UTF-8"},
        {"node: \xed\xa0\x80\n", "FILE:1: byte 0xed is not UTF-8; the text must be UTF-8"},
        {std::string("n\0o\0d\0e\0", 8),
         "FILE:1: control character U+0000; allowed: printable text, in double quotes also \\x00"},
        {"\nnode: \x1b[31m\n",
         "FILE:2: control character U+001B; allowed: printable text, in double quotes also \\x1b"},
        {std::string(100'000, '['), "FILE:1: nested too deeply; allowed: 16 levels"},
        {"node: x\nlog: " + std::string(500'000, '{'), "FILE:2: nested too deeply; allowed: 16 levels"},
        {std::string((1 << 20) + 1, '#'), "FILE: is larger than 1MiB; allowed: a YAML file of up to 1MiB"},
    });
}

TEST_CASE("config errors: an alias of nothing") {
    // yaml-cpp 0.8 names it, 0.7 does not.
    CHECK(error_of("log: {}\nnode: *unknown\n")
              .starts_with("FILE:2: not valid YAML: the referenced anchor is not defined"));
}

TEST_CASE("config errors: aliases of aliases cost nothing") {
    std::string yaml = "a0: &a0 [x, x]\n";
    for (int i = 1; i < 15; i++) {
        const std::string before = "*a" + std::to_string(i - 1);
        const std::string name = "a" + std::to_string(i);
        yaml += name + ": &" + name + " [" + before;
        for (int n = 0; n < 20; n++)
            yaml += ", " + before;
        yaml += "]\n";
    }
    CHECK(error_of(yaml) ==
          "FILE:1: unknown key \"a0\"; allowed: a map of node, capture, connections, context, kubernetes, "
          "spool, kafka, "
          "output, "
          "report, serve, log");
}

TEST_CASE("config errors: files that cannot be read") {
    const auto error = [](const std::string& path) {
        return tcptrail::load_config({path, {}, {}}).error().message;
    };
    const std::string allowed = "; allowed: a YAML file of up to 1MiB";
    const ConfigFolder folder;
    CHECK(error(folder.path() + "/none") ==
          folder.path() + "/none: cannot be read: No such file or directory" + allowed);
    CHECK(error(folder.path()) == folder.path() + ": is a directory" + allowed);
    CHECK(error("/dev/zero") == "/dev/zero: is larger than 1MiB" + allowed);
    CHECK(error("/no\nsuch") == "/no\\nsuch: cannot be read: No such file or directory" + allowed);
    CHECK(tcptrail::load_config({"/none", {}, {}}).error().code == tcptrail::ExitCode::configuration);
}

TEST_CASE("config errors: a file without permission") {
    const ConfigFolder folder;
    const std::string secret = folder.write("secret", "node: x\n");
    std::filesystem::permissions(secret, std::filesystem::perms::none);
    std::filesystem::permissions(std::filesystem::path(secret).parent_path(), std::filesystem::perms{0755});
    // root reads every file: for this question the test is nobody.
    const bool root = geteuid() == 0;
    if (root) REQUIRE(seteuid(65534) == 0);
    const auto config = tcptrail::load_config({secret, {}, {}});
    if (root) REQUIRE(seteuid(0) == 0);
    REQUIRE_FALSE(config);
    CHECK(config.error().message ==
          secret + ": cannot be read: Permission denied; allowed: a YAML file of up to 1MiB");
}

TEST_CASE("config errors: the environment") {
    const std::vector<BrokenText> cases = {
        {"TCPTRAIL_NODES=x", "environment TCPTRAIL_NODES: unknown name; did you mean TCPTRAIL_NODE?"},
        {"TCPTRAIL_CAPTURE_RING_BYTE=1",
         "environment TCPTRAIL_CAPTURE_RING_BYTE: unknown name; did you mean TCPTRAIL_CAPTURE_RING_BYTES?"},
        {"TCPTRAIL_XYZZY=x",
         "environment TCPTRAIL_XYZZY: unknown name; allowed: TCPTRAIL_CONFIG, and keys in the form "
         "of TCPTRAIL_CAPTURE_RING_BYTES"},
        {"TCPTRAIL_KAFKA_PROPERTIES_LINGER_MS=5",
         "environment TCPTRAIL_KAFKA_PROPERTIES_LINGER_MS: unknown name; did "
         "you mean TCPTRAIL_KAFKA_PROPERTIES?"},
        {"TCPTRAIL_CAPTURE_RING_BYTES=5000",
         "environment TCPTRAIL_CAPTURE_RING_BYTES: \"5000\" is not a power of two" + ring},
        {"TCPTRAIL_CAPTURE_RING_BYTES=",
         "environment TCPTRAIL_CAPTURE_RING_BYTES: \"\" is not a size such as 1048576, 512KiB or 100MB" +
             ring},
        {"TCPTRAIL_KAFKA_BROKERS=a:1,b",
         "environment TCPTRAIL_KAFKA_BROKERS: \"b\" is not a broker" + brokers},
        {"TCPTRAIL_NODE=\xff",
         "environment TCPTRAIL_NODE: is not UTF-8; allowed: 0 to 255 bytes, no control characters"},
        {"TCPTRAIL_KAFKA_PROPERTIES={acks: 1}",
         "environment TCPTRAIL_KAFKA_PROPERTIES: acks: \"1\" lets Kafka lose "
         "events that it acknowledged; allowed: all or -1"},
        {"TCPTRAIL_KAFKA_PROPERTIES={linger.ms: 5, linger.ms: 6}",
         "environment TCPTRAIL_KAFKA_PROPERTIES: duplicate key \"linger.ms\", first in line 1; each key is "
         "allowed "
         "once"},
        {"TCPTRAIL_KAFKA_PROPERTIES={linger.ms: 5",
         "environment TCPTRAIL_KAFKA_PROPERTIES: the text ends inside quotes or brackets; close what is "
         "open"},
        {"TCPTRAIL_KAFKA_PROPERTIES=sasl.password=hunter2",
         "environment TCPTRAIL_KAFKA_PROPERTIES: is a single value; allowed: librdkafka's names: its values"},
    };
    for (const auto& [text, error] : cases) {
        INFO(text);
        CHECK(error_of("", {text}) == error);
    }
}

TEST_CASE("config errors: --set") {
    const std::vector<BrokenText> cases = {
        {"node", "--set node: has no value; allowed: key=value"},
        {"", "--set : has no value; allowed: key=value"},
        {"=x",
         "--set : unknown key; allowed: node, capture, connections, context, kubernetes, spool, kafka, "
         "output, report, "
         "serve, log, and what "
         "is "
         "below them"},
        {"nod=x", "--set nod: unknown key; did you mean node?"},
        {"xyzzy=x",
         "--set xyzzy: unknown key; allowed: node, capture, connections, context, kubernetes, spool, kafka, "
         "output, "
         "report, serve, log, "
         "and what is below them"},
        {"ring_bytes=4096", "--set ring_bytes: unknown key; did you mean capture.ring_bytes?"},
        {"log={level: info}", "--set log: is a section; allowed: one of its keys, level, format"},
        {"capture.ring_bytes=1e400 MB",
         "--set capture.ring_bytes: \"1e400 MB\" is not a size such as 1048576, 512KiB or 100MB" + ring},
        {"kafka.properties.acks=0",
         "--set kafka.properties.acks: \"0\" lets Kafka lose events that it acknowledged; allowed: all or "
         "-1"},
        {"kafka.properties.=5",
         "--set kafka.properties.: librdkafka has no such property; allowed: the names in its "
         "CONFIGURATION.md"},
        {"kafka.properties=[linger.ms]",
         "--set kafka.properties: is a list; allowed: librdkafka's names: its values"},
        {"kafka.properties.client.id=\xff",
         "--set kafka.properties.client.id: is not UTF-8; allowed: librdkafka's names: its values"},
        {"kafka.framing=confluent",
         "--set kafka.framing: confluent needs kafka.schema_ids.connections; allowed: raw, or ids from 1"},
    };
    for (const auto& [text, error] : cases) {
        INFO(text);
        CHECK(error_of("", {}, {text}) == error);
    }
}

TEST_CASE("config errors: the first mistake is the error") {
    CHECK(error_of("log: {level: x}\nnode: []\n", {"TCPTRAIL_X=1"}, {"y=1"}) ==
          "FILE:1: log.level: \"x\" is not one of the choices; allowed: debug, info, warning, error");
    CHECK(error_of("", {"TCPTRAIL_XYZZY=1"}, {"y=1"}).starts_with("environment TCPTRAIL_XYZZY: "));
}
