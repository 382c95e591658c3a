// SPDX-License-Identifier: Apache-2.0
#include "agent/config_kafka.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "agent/base/log.h"
#include "agent/config_file.h"
#include "agent/transmit/client.h"

namespace tcptrail {

namespace {

constexpr size_t max_property_file_bytes = 1 << 20;
constexpr size_t max_certificates_bytes = 64 << 20;

struct ConfDeleter {
    void operator()(rd_kafka_conf_t* conf) const { rd_kafka_conf_destroy(conf); }
};
using Conf = std::unique_ptr<rd_kafka_conf_t, ConfDeleter>;

// What delivery depends on. A property breaks a rule if it gives the setting of that name (aliases stand
// for one) another value.
struct Rule {
    const char* name;
    bool (*holds)(const std::string& value);
    std::string_view wrong;
    std::string_view allowed;
};

constexpr Rule rules[] = {
    {"metadata.broker.list", [](const std::string&) { return false; }, "does not belong here",
     "brokers in kafka.brokers"},
    {"transactional.id", [](const std::string&) { return false; }, "asks for transactions",
     "no transactional.id"},
    {"enable.idempotence", [](const std::string& v) { return v == "true"; },
     "lets retries duplicate and reorder events", "true"},
    {"request.required.acks", [](const std::string& v) { return v == "-1"; },
     "lets Kafka lose events that it acknowledged", "all or -1"},
    {"max.in.flight.requests.per.connection", [](const std::string& v) { return std::atoi(v.c_str()) <= 5; },
     "contradicts enable.idempotence", "1 to 5"},
    {"message.send.max.retries", [](const std::string& v) { return v != "0"; },
     "contradicts enable.idempotence", "1 or more"},
    {"queuing.strategy", [](const std::string& v) { return v == "fifo"; }, "reorders events", "fifo"},
    {"delivery.report.only.error", [](const std::string& v) { return v == "false"; },
     "hides which events were delivered", "false"},
};

// Empty if it is not set.
std::string get(rd_kafka_conf_t* conf, const char* name) {
    char value[512] = "";
    size_t size = sizeof value;
    if (rd_kafka_conf_get(conf, name, value, &size) != RD_KAFKA_CONF_OK) return {};
    return value;
}

// Every name that librdkafka has, from the first column of its own table.
std::vector<std::string> property_names() {
    std::vector<std::string> names;
    char* text = nullptr;
    size_t size = 0;
    FILE* stream = open_memstream(&text, &size);
    if (stream == nullptr) return names;
    rd_kafka_conf_properties_show(stream);
    std::fclose(stream);
    std::string_view rest(text, size);
    while (!rest.empty()) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        const size_t blank = line.find(' ');
        if (blank != std::string_view::npos && line.find(" | ") != std::string_view::npos)
            names.emplace_back(line.substr(0, blank));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    }
    std::free(text);
    return names;
}

std::string unknown_property(const std::string& name) {
    const std::string meant = closest(name, property_names());
    if (!meant.empty()) return fmt::format("librdkafka has no such property; did you mean {}?", meant);
    return "librdkafka has no such property; allowed: the names in its CONFIGURATION.md";
}

// Of a property that librdkafka refused, with what it said. That may quote the value.
std::string refused_property(std::string_view said, bool secret) {
    constexpr std::string_view unsupported = " not supported in this build: ";
    const size_t at = said.find(unsupported);
    if (at != std::string_view::npos)
        return fmt::format("librdkafka {} was built without it: {}; allowed: what this build has",
                           rd_kafka_version_str(), one_line(said.substr(at + unsupported.size())));
    if (secret) return "librdkafka refuses its value; allowed: what its CONFIGURATION.md says";
    said = said.substr(0, said.find_last_not_of(" \n") + 1);
    return fmt::format("librdkafka refuses it: {}; allowed: what its CONFIGURATION.md says", one_line(said));
}

// librdkafka reads a number at the front of a value and ignores what follows it.
bool is_half_number(const std::string& given, const std::string& read) {
    const auto is_number = [](const std::string& text) {
        char* end = nullptr;
        std::strtod(text.c_str(), &end);
        return !text.empty() && *end == '\0' && text.find_first_not_of("-.0123456789") == std::string::npos;
    };
    return given != read && is_number(read) && !is_number(given) &&
           given.find_first_of("0123456789") <= given.find_first_not_of(" +-");
}

// A scratch configuration with what the agent sets anyway, so that no rule is broken yet.
Conf scratch_conf() {
    Conf conf(rd_kafka_conf_new());
    rd_kafka_conf_set(conf.get(), "enable.idempotence", "true", nullptr, 0);
    rd_kafka_conf_set(conf.get(), "max.in.flight.requests.per.connection", "5", nullptr, 0);
    return conf;
}

Problem check(const std::string& name, const std::string& value, bool secret) {
    if (name.find('\0') != std::string::npos || value.find('\0') != std::string::npos)
        return "has a zero byte; allowed: text";
    const Conf conf = scratch_conf();
    char error[512] = "";
    switch (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), error, sizeof error)) {
        case RD_KAFKA_CONF_UNKNOWN:
            return unknown_property(name);
        case RD_KAFKA_CONF_INVALID:
            return refused_property(error, secret);
        case RD_KAFKA_CONF_OK:
            break;
    }
    const std::string shown = secret ? "its value" : quoted(value);
    for (const Rule& rule : rules) {
        const std::string now = get(conf.get(), rule.name);
        if (!now.empty() && !rule.holds(now))
            return fmt::format("{} {}; allowed: {}", shown, rule.wrong, rule.allowed);
    }
    if (const std::string read = get(conf.get(), name.c_str()); is_half_number(value, read))
        return fmt::format("{} is not a number: librdkafka would read {}; allowed: a plain number", shown,
                           read);
    return std::nullopt;
}

std::string_view trim(std::string_view text) {
    while (text.starts_with(' '))
        text.remove_prefix(1);
    while (text.ends_with(' '))
        text.remove_suffix(1);
    return text;
}

bool consists_of(std::string_view text, std::string_view extra) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || extra.find(c) != std::string_view::npos;
    });
}

bool is_broker(std::string_view text) {
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return false;
    const std::string_view host = text.substr(0, colon);
    const bool bracketed = host.starts_with('[') && host.ends_with(']');
    return parse_integer(std::string(text.substr(colon + 1)), 1, 65535).has_value() &&
           (bracketed ? consists_of(host.substr(1, host.size() - 2), ":.%") : consists_of(host, ".-_"));
}

}  // namespace

Parsed<std::string> parse_brokers(const std::string& text) {
    std::string brokers;
    if (trim(text).empty()) return brokers;
    for (std::string_view rest = text;;) {
        const size_t comma = rest.find(',');
        const std::string_view broker = trim(rest.substr(0, comma));
        if (broker.empty()) return std::unexpected("has an empty element");
        if (!is_broker(broker)) return std::unexpected(quoted(broker) + " is not a broker");
        if (!brokers.empty()) brokers += ',';
        brokers += broker;
        if (comma == std::string_view::npos) return brokers;
        rest.remove_prefix(comma + 1);
    }
}

Parsed<std::string> parse_topic(const std::string& text) {
    if (text.size() > 249 || text == "." || text == ".." || !consists_of(text, "._-"))
        return std::unexpected(quoted(text) + " is not a topic name");
    return text;
}

Problem check_property(const std::string& name, const std::string& value) {
    return check(name, value, transmit::is_secret(name));
}

Problem check_property_file(const std::string& name, const std::string& path) {
    if (path.find('\0') != std::string::npos) return "has a zero byte; allowed: the path of a file";
    auto content = read_small_file(path, max_property_file_bytes);
    if (!content) return fmt::format("file {}; allowed: a readable file", content.error().message);
    if (content->ends_with('\n')) content->pop_back();
    if (content->empty())
        return fmt::format("file {}: is empty; allowed: a file with the value", one_line(path));
    return check(name, *content, true);
}

Problem check_location(const std::string& name, const std::string& path) {
    const bool may_be_folder = name == "ssl.ca.location";
    // Newer versions look for the system's certificates by this name.
    if (may_be_folder && path == "probe") return std::nullopt;
    struct stat file{};
    if (may_be_folder && stat(path.c_str(), &file) == 0 && S_ISDIR(file.st_mode)) return std::nullopt;
    const auto content = read_small_file(path, max_certificates_bytes);
    if (content) return std::nullopt;
    return fmt::format("file {}; allowed: a readable file{}", content.error().message,
                       may_be_folder ? ", or a folder" : "");
}

}  // namespace tcptrail
