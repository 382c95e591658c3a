// SPDX-License-Identifier: Apache-2.0
#include "agent/config_warnings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

#include "agent/base/log.h"
#include "agent/transmit/client.h"

namespace tcptrail {

namespace {

using Warnings = std::vector<std::string>;

// Each folder on the way to it, too, must let them through.
bool everybody_reads(const std::string& path) {
    namespace fs = std::filesystem;
    std::error_code error;
    fs::path real = fs::canonical(path, error);
    if (error) return false;
    if ((fs::status(real, error).permissions() & fs::perms::others_read) == fs::perms::none) return false;
    while (real.has_relative_path()) {
        real = real.parent_path();
        if ((fs::status(real, error).permissions() & fs::perms::others_exec) == fs::perms::none) return false;
    }
    return true;
}

void warn_of_file(Warnings& warnings, std::string_view key, const std::string& path) {
    if (everybody_reads(path))
        warnings.push_back(
            fmt::format("{}: everybody on this host can read {}: take that from others (chmod o= {})", key,
                        one_line(path), one_line(path)));
}

void warn_of_files(Warnings& warnings, const Config& config, const std::string& file) {
    for (const auto& [property, path] : config.kafka.property_files)
        warn_of_file(warnings, "kafka.property_files." + property, path);
    for (const char* property : {"ssl.key.location", "ssl.keystore.location"})
        if (const auto found = config.kafka.properties.find(property); found != config.kafka.properties.end())
            warn_of_file(warnings, fmt::format("kafka.properties.{}", property), found->second);
    warn_of_file(warnings, "serve.metrics.token_file", config.serve.metrics.token_file);

    // Of the file alone: what comes from the environment does not stand there.
    if (file.empty() || !everybody_reads(file)) return;
    const auto alone = load_config({file, {}, {}, false});
    if (!alone) return;
    for (const auto& [property, value] : alone->kafka.properties)
        if (transmit::is_secret(property)) {
            warn_of_file(warnings, "kafka.properties." + property, file);
            return;
        }
}

// Debian's /etc/default is everybody's to read. Its lines are in systemd's form: NAME=value, in quotes or
// not.
void warn_of_environment(Warnings& warnings, const std::string& file) {
    if (!everybody_reads(file)) return;
    std::ifstream lines(file);
    for (std::string line; std::getline(lines, line);) {
        const size_t equals = line.find('=');
        if (!line.starts_with("TCPTRAIL_KAFKA_PROPERTIES=")) continue;
        std::string value = line.substr(equals + 1);
        std::erase_if(value, [](char c) { return c == '\'' || c == '"'; });
        const auto alone = load_config({"", {line.substr(0, equals + 1) + value}, {}, false});
        if (!alone) continue;
        for (const auto& [property, secret] : alone->kafka.properties)
            if (transmit::is_secret(property)) warn_of_file(warnings, "kafka.properties." + property, file);
    }
}

std::string lower(std::string text) {
    std::ranges::transform(text, text.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

// librdkafka takes what it has no use for without a word.
void warn_of_protocol(Warnings& warnings, const transmit::Options& kafka) {
    const auto given = kafka.properties.find("security.protocol");
    const std::string protocol = given == kafka.properties.end() ? "plaintext" : lower(given->second);
    const auto unused = [&](std::string_view prefix, std::string_view instead) {
        for (const auto* properties : {&kafka.properties, &kafka.property_files})
            for (const auto& [property, value] : *properties)
                if (property.starts_with(prefix)) {
                    warnings.push_back(
                        fmt::format("kafka: {} is set and not used: security.protocol is {}, not {}",
                                    property, protocol, instead));
                    return;
                }
    };
    if (!protocol.starts_with("sasl_"))
        unused("sasl.", protocol == "ssl" ? "sasl_ssl" : "sasl_ssl or sasl_plaintext");
    if (!protocol.ends_with("ssl")) unused("ssl.", protocol == "plaintext" ? "ssl or sasl_ssl" : "sasl_ssl");
    const auto has = [&](const std::string& property) {
        return kafka.properties.contains(property) || kafka.property_files.contains(property);
    };
    if ((has("ssl.certificate.location") || has("ssl.certificate.pem")) && !has("ssl.key.location") &&
        !has("ssl.key.pem"))
        warnings.emplace_back(
            "kafka: there is a certificate without its key, and it is not used: set ssl.key.location");
    const auto is = [&](const std::string& property, std::string_view value) {
        const auto found = kafka.properties.find(property);
        return found != kafka.properties.end() && lower(found->second) == value;
    };
    if (protocol.ends_with("ssl") && is("enable.ssl.certificate.verification", "false"))
        warnings.emplace_back(
            "kafka: anybody can pass for the broker: enable.ssl.certificate.verification is false; set "
            "ssl.ca.location instead");
    else if (protocol.ends_with("ssl") && is("ssl.endpoint.identification.algorithm", "none"))
        warnings.emplace_back(
            "kafka: whoever has a certificate of that authority can pass for the broker: "
            "ssl.endpoint.identification.algorithm is none; name brokers as their certificates do");
    if (protocol == "sasl_plaintext" && transmit::mechanism_of(kafka) == "PLAIN")
        warnings.emplace_back(
            "kafka: the password goes over the network as it is: set security.protocol to sasl_ssl");
}

}  // namespace

std::vector<std::string> config_warnings(const Config& config, const std::string& file,
                                         const std::string& environment) {
    Warnings warnings;
    warn_of_protocol(warnings, config.kafka);
    warn_of_files(warnings, config, file);
    warn_of_environment(warnings, environment);
    return warnings;
}

}  // namespace tcptrail
