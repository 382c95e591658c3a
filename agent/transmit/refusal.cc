// SPDX-License-Identifier: Apache-2.0
#include "agent/transmit/refusal.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "agent/transmit/client.h"

namespace tcptrail::transmit {
namespace {

using std::string_view;

// <openssl/x509_vfy.h>; the numbers are part of its interface.
constexpr int no_issuer = 2, not_yet_valid = 9, has_expired = 10, self_signed = 18, self_signed_in_chain = 19,
              no_local_issuer = 20, unverified_leaf = 21, wrong_host = 62, wrong_address = 64;

std::string about_certificate(int error) {
    switch (error) {
        case has_expired:
            return "the broker's certificate has expired: give the broker a new one, or set this host's "
                   "clock";
        case not_yet_valid:
            return "the broker's certificate is not valid yet: compare this host's clock with the broker's";
        case no_issuer:
        case self_signed:
        case self_signed_in_chain:
        case no_local_issuer:
        case unverified_leaf:
            return "the broker's certificate is signed by an authority that is not known here: set "
                   "ssl.ca.location to the certificate of the authority that signs the brokers'";
        case wrong_host:
        case wrong_address:
            return "the broker's certificate is for another name: kafka.brokers and the brokers' "
                   "advertised.listeners must use a name that is in it";
        default:
            return fmt::format(
                "the broker's certificate is refused (OpenSSL's error {}): check ssl.ca.location", error);
    }
}

// What librdkafka or OpenSSL says, and what it means.
struct Meaning {
    string_view words;
    string_view text;
    bool with_reason;  // librdkafka's words tell more
};

constexpr string_view no_tls =
    "this port does not speak TLS: check the port in kafka.brokers, or set security.protocol to plaintext or "
    "sasl_plaintext";

constexpr Meaning meanings[] = {
    // Java sends the first of these, TLS 1.3 has the second.
    {"alert bad certificate",
     "the broker asks for a certificate and gets none that it can use: set ssl.certificate.location and "
     "ssl.key.location",
     false},
    {"alert certificate required",
     "the broker asks for a certificate and gets none: set ssl.certificate.location and ssl.key.location",
     false},
    {"alert certificate unknown",
     "the broker refuses this agent's certificate: it must be signed by an authority of the broker's "
     "truststore, "
     "and be valid now",
     false},
    {"alert unknown ca",
     "the broker refuses this agent's certificate: its truststore does not know the authority", false},
    {"alert certificate expired", "the broker refuses this agent's certificate: it has expired", false},
    {"PLAINTEXT broker listener", no_tls, false},
    {"unexpected eof while reading", no_tls, false},
    {"wrong version number", no_tls, false},
    {"connecting to a SSL listener",
     "the broker hung up on a plain connection: this port may want TLS: set security.protocol to ssl or "
     "sasl_ssl",
     false},
    {"broker might require SASL",
     "the broker hung up: this port may want credentials: set security.protocol to sasl_ssl or "
     "sasl_plaintext, "
     "sasl.mechanism, sasl.username and sasl.password",
     false},
    {"mechanism handshake failed", "set sasl.mechanism to one that the broker has", true},
    {"SASL authentication error", "check sasl.username and sasl.password", true},
};

// "ssl://localhost:9093/bootstrap: SSL handshake failed: …": what is before ": ", and of the first broker
// without
// "/bootstrap".
string_view broker_of(string_view reason) {
    string_view broker = reason.substr(0, reason.find(": "));
    constexpr string_view tail = "/bootstrap";
    if (broker.ends_with(tail)) broker.remove_suffix(tail.size());
    return broker;
}

// "ssl://localhost:9093/1": localhost:9093.
string_view host_of(string_view broker) {
    if (const size_t scheme = broker.find("://"); scheme != string_view::npos)
        broker.remove_prefix(scheme + 3);
    return broker.substr(0, broker.find('/'));
}

// What connect() does not answer by itself: told from a broker's own failures by its text.
constexpr int not_yet = ECANCELED;

}  // namespace

std::string explain_refusal(string_view reason, int certificate_error, int librdkafka_version) {
    // " (after 5ms in state AUTH_REQ, 1 identical error(s) suppressed)"
    reason = reason.substr(0, reason.find(" (after "));
    const string_view broker = broker_of(reason);
    if (reason.find("certificate verify failed") != string_view::npos)
        return fmt::format("{}: {}", broker, about_certificate(certificate_error));
    for (const Meaning& meaning : meanings) {
        if (reason.find(meaning.words) == string_view::npos) continue;
        if (!meaning.with_reason) return fmt::format("{}: {}", broker, meaning.text);
        // Not where it is only among what the broker has.
        if (reason.find("SASL mechanism SCRAM") != string_view::npos)
            if (const auto warning = scram_warning(librdkafka_version))
                return fmt::format("{}: {}", reason, *warning);
        return fmt::format("{}: {}", reason, meaning.text);
    }
    return std::string(reason);
}

void RetryGate::failed(string_view broker, Clock::time_point now) {
    MutexLock lock(mutex_);
    Broker& known = brokers_.try_emplace(std::string(broker)).first->second;
    // One try may have more than one thing to say.
    if (known.failures > 0 && now < known.not_before) return;
    const auto pause = std::chrono::seconds(1) * (1u << std::min(known.failures, 6u));
    ++known.failures;
    known.not_before = now + std::min<std::chrono::milliseconds>(pause, longest_);
}

bool RetryGate::may_try(string_view broker, Clock::time_point now) const {
    MutexLock lock(mutex_);
    const auto known = brokers_.find(broker);
    return known == brokers_.end() || now >= known->second.not_before;
}

void RetryGate::open() {
    MutexLock lock(mutex_);
    brokers_.clear();
}

void ClientOwner::watch(rd_kafka_conf_t* conf) {
    char value[16] = {};
    size_t size = sizeof(value);
    if (rd_kafka_conf_get(conf, "reconnect.backoff.max.ms", value, &size) == RD_KAFKA_CONF_OK)
        gate_.set_longest(std::chrono::milliseconds(std::strtoul(value, nullptr, 10)));
    rd_kafka_conf_set_connect_cb(conf, on_connect);
    size = sizeof(value);
    // Who has switched verification off is not to get it back.
    if (rd_kafka_conf_get(conf, "enable.ssl.certificate.verification", value, &size) == RD_KAFKA_CONF_OK &&
        string_view(value) == "true")
        rd_kafka_conf_set_ssl_cert_verify_cb(conf, on_certificate);
}

int ClientOwner::on_certificate(rd_kafka_t*, const char*, int32_t, int* error, int, const char*, size_t,
                                char*, size_t, void* opaque) {
    if (*error == 0) return 1;
    static_cast<ClientOwner*>(opaque)->certificate_error_ = *error;
    return 0;
}

// As librdkafka would connect by itself; the socket does not block.
int ClientOwner::on_connect(int socket, const sockaddr* address, int size, const char* broker, void* opaque) {
    if (!static_cast<ClientOwner*>(opaque)->gate_.may_try(broker, RetryGate::Clock::now())) return not_yet;
    if (connect(socket, address, static_cast<socklen_t>(size)) == 0 || errno == EINPROGRESS) return 0;
    return errno;
}

std::optional<std::string> ClientOwner::explain(const char* reason) {
    const string_view text = reason;
    if (text.find(std::strerror(not_yet)) != string_view::npos) return std::nullopt;
    if (text.find("in state SSL_HANDSHAKE") != string_view::npos ||
        text.find("SSL handshake failed") != string_view::npos)
        gate_.failed(host_of(broker_of(text)), RetryGate::Clock::now());
    return explain_refusal(text, certificate_error_, rd_kafka_version());
}

}  // namespace tcptrail::transmit
