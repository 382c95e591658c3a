// SPDX-License-Identifier: Apache-2.0
#include "agent/transmit/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <fstream>
#include <utility>

#include "agent/base/thread.h"
#include "agent/transmit/setup.h"

namespace tcptrail::transmit {
namespace {

using Property = std::pair<const char*, const char*>;

constexpr Property common_defaults[] = {
    {"client.id", "tcptrail"},
    // A connection that died in silence is found out; off by default.
    {"socket.keepalive.enable", "true"},
    {"reconnect.backoff.ms", "100"},
    {"reconnect.backoff.max.ms", "10000"},
    // As all other requests. By default 10 s, and where the way takes as long there is never a connection.
    // With TLS and SASL it takes several round trips.
    {"api.version.request.timeout.ms", "60000"},
    {"socket.connection.setup.timeout.ms", "120000"},
};

constexpr Property producer_defaults[] = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
    {"compression.codec", "zstd"},
    // The same key goes to the same partition as from a Java client.
    {"partitioner", "murmur2_random"},
    {"linger.ms", "20"},
    {"queue.buffering.max.kbytes", "32768"},
    // Never given up inside librdkafka: giving up would lose the order, and duplicate what a broker has
    // stored without telling. The spool bounds what waits.
    {"message.timeout.ms", "0"},
    // So that a missing topic is told soon; its messages wait in the spool.
    {"topic.metadata.propagation.max.ms", "3000"},
};

// The level means something else to each codec.
constexpr Property zstd_defaults[] = {
    {"compression.level", "1"},
};

constexpr Property consumer_defaults[] = {
    {"enable.partition.eof", "true"},
    {"fetch.wait.max.ms", "100"},
    {"queued.max.messages.kbytes", "16384"},
    // Its default goes on at the end without a word when retention has overtaken the reader.
    {"auto.offset.reset", "error"},
    {"check.crcs", "true"},
};

// Delivery depends on these: only their own values may be given.
bool breaks_delivery(std::string_view property, std::string_view value) {
    if (property == "enable.idempotence") return value != "true";
    if (property == "acks" || property == "request.required.acks") return value != "all" && value != "-1";
    return property == "transactional.id";
}

Result<> set(rd_kafka_conf_t* conf, const std::string& property, const std::string& value,
             const std::string& shown) {
    if (breaks_delivery(property, value))
        return fail(fmt::format("kafka.properties: {} = {}: delivery without loss does not allow it",
                                property, shown),
                    ExitCode::configuration);
    char reason[512];
    if (rd_kafka_conf_set(conf, property.c_str(), value.c_str(), reason, sizeof(reason)) == RD_KAFKA_CONF_OK)
        return {};
    // librdkafka's own text may repeat the value.
    const std::string why = shown == value ? std::string(": ") + reason : std::string();
    return fail(fmt::format("kafka.properties: librdkafka does not accept {} = {}{}", property, shown, why),
                ExitCode::configuration);
}

Result<std::string> read_property_file(const std::string& property, const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string value;
    std::getline(file, value, '\0');  // an iterator would throw what read() refuses
    if (!file.is_open() || file.bad()) {
        auto problem =
            fail_errno(fmt::format("kafka.property_files: {}: cannot read {}", property, path), errno);
        problem.error().code = ExitCode::configuration;
        return problem;
    }
    if (!value.empty() && value.back() == '\n') value.pop_back();
    return value;
}

void drop_log(const rd_kafka_t*, int, const char*, const char*) {}

}  // namespace

bool is_secret(std::string_view property) {
    std::string name(property);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    // Where a secret is, or is to be had, is no secret.
    for (std::string_view end : {".location", ".keytab", ".file", ".url", ".method", "_cb"})
        if (name.ends_with(end)) return false;
    for (std::string_view word :
         {"password", "secret", "credential", "token", "key", "jaas", "oauthbearer.config"})
        if (name.find(word) != std::string::npos) return true;
    return false;
}

bool is_file_property(std::string_view property) {
    constexpr std::string_view names[] = {"ssl.ca.location", "ssl.certificate.location", "ssl.crl.location",
                                          "ssl.key.location", "ssl.keystore.location"};
    return std::ranges::find(names, property) != std::end(names);
}

Result<ConfPtr> make_conf(const Options& options, Role role) {
    ConfPtr conf(rd_kafka_conf_new());
    auto apply = [&conf](const auto& defaults) -> Result<> {
        for (const auto& [property, value] : defaults)
            if (auto done = set(conf.get(), property, value, value); !done) return done;
        return {};
    };
    if (auto done = apply(common_defaults); !done) return std::unexpected(done.error());
    if (role == Role::producer)
        if (auto done = apply(producer_defaults); !done) return std::unexpected(done.error());
    if (role == Role::consumer)
        if (auto done = apply(consumer_defaults); !done) return std::unexpected(done.error());
    if (role == Role::producer && !options.properties.contains("compression.codec") &&
        !options.properties.contains("compression.type"))
        if (auto done = apply(zstd_defaults); !done) return std::unexpected(done.error());
    if (!options.brokers.empty())
        if (auto done = set(conf.get(), "bootstrap.servers", options.brokers, options.brokers); !done)
            return std::unexpected(done.error());

    for (const auto& [property, value] : options.properties) {
        const std::string shown = is_secret(property) ? "********" : value;
        if (auto done = set(conf.get(), property, value, shown); !done) return std::unexpected(done.error());
    }
    for (const auto& [property, path] : options.property_files) {
        auto value = read_property_file(property, path);
        if (!value) return std::unexpected(value.error());
        if (auto done = set(conf.get(), property, *value, fmt::format("(content of {})", path)); !done)
            return std::unexpected(done.error());
    }
    // What matters comes as an error to the client's owner; the log repeats it. Who asks for debugging wants
    // it.
    if (!options.properties.contains("debug")) rd_kafka_conf_set_log_cb(conf.get(), drop_log);
    return conf;
}

Result<ClientPtr> make_client(ConfPtr conf, Role role) {
    char reason[512];
    // An administrator asks as a consumer: a producer that asks for a topic may have it made.
    const auto type = role == Role::producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER;
    SignalsBlocked blocked;  // for the threads that it starts
    rd_kafka_t* client = rd_kafka_new(type, conf.get(), reason, sizeof(reason));
    if (!client) return fail("kafka: " + explain_setup(reason), ExitCode::configuration);
    (void)conf.release();  // the client's now
    return ClientPtr(client);
}

Result<> check_client(Options options) {
    options.brokers.clear();
    auto conf = make_conf(options, Role::producer);
    if (!conf) return std::unexpected(std::move(conf.error()));
    auto client = make_client(std::move(*conf), Role::producer);
    if (!client) return std::unexpected(std::move(client.error()));
    return {};
}

std::optional<std::string> scram_warning(int librdkafka_version, std::string_view mechanism) {
    constexpr int first_good = 0x020601ff;
    if (librdkafka_version >= first_good) return std::nullopt;
    return fmt::format(
        "{} does not work with librdkafka {}.{}.{} and Kafka 4: every password is refused as \"invalid "
        "credentials\". Use librdkafka 2.6.1 or later (Debian 13, the container image), or sasl.mechanism = "
        "PLAIN over TLS",
        mechanism, librdkafka_version >> 24, (librdkafka_version >> 16) & 0xff,
        (librdkafka_version >> 8) & 0xff);
}

std::string mechanism_of(const Options& options) {
    for (const char* property : {"sasl.mechanism", "sasl.mechanisms"}) {
        auto found = options.properties.find(property);
        if (found == options.properties.end()) continue;
        std::string mechanism = found->second;
        std::transform(mechanism.begin(), mechanism.end(), mechanism.begin(),
                       [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
        return mechanism;
    }
    return {};
}

std::optional<std::string> client_warning(const Options& options, int librdkafka_version) {
    const std::string mechanism = mechanism_of(options);
    return mechanism.starts_with("SCRAM") ? scram_warning(librdkafka_version, mechanism) : std::nullopt;
}

std::optional<std::string> client_warning(const Options& options) {
    return client_warning(options, rd_kafka_version());
}

}  // namespace tcptrail::transmit
