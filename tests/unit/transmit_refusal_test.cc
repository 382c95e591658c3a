// SPDX-License-Identifier: Apache-2.0
//
// What is said of brokers that are not to be had, and what a new client is made for.
#include <chrono>
#include <filesystem>
#include <fstream>

#include "agent/transmit/client_files.h"
#include "agent/transmit/refusal.h"
#include "tests/catch.h"
#include "tests/unit/spool_files.h"

using namespace tcptrail::transmit;
using namespace tcptrail;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

constexpr int old_librdkafka = 0x020002ff, new_librdkafka = 0x020800ff;

constexpr const char* not_verified =
    "ssl://kafka:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify "
    "failed: "
    "broker certificate could not be verified, verify that ssl.ca.location is correctly configured or root "
    "CA "
    "certificates are installed (install ca-certificates package) (after 6ms in state SSL_HANDSHAKE, 1 "
    "identical "
    "error(s) suppressed)";

}  // namespace

TEST_CASE("a broker's certificate that is refused: OpenSSL's reason is told") {
    const auto told = [](int error) { return explain_refusal(not_verified, error, new_librdkafka); };
    CHECK_THAT(told(10), StartsWith("ssl://kafka:9093: the broker's certificate has expired"));
    CHECK_THAT(told(9), StartsWith("ssl://kafka:9093: the broker's certificate is not valid yet"));
    CHECK_THAT(told(19), ContainsSubstring("signed by an authority that is not known here"));
    CHECK_THAT(told(20), ContainsSubstring("signed by an authority that is not known here"));
    CHECK_THAT(told(62), ContainsSubstring("is for another name"));
    CHECK_THAT(told(23), ContainsSubstring("is refused (OpenSSL's error 23)"));
}

TEST_CASE("the same trouble has the same words, however long it took") {
    CHECK(explain_refusal(
              "kafka:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after 3ms in "
              "state CONNECT)",
              0, new_librdkafka) == "kafka:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused");
    // OpenSSL's second words for the first trouble.
    CHECK(
        explain_refusal("ssl://kafka:9093/bootstrap: error:0A000086:SSL routines::certificate verify failed "
                        "(after 5ms in state SSL_HANDSHAKE)",
                        10, new_librdkafka) == explain_refusal(not_verified, 10, new_librdkafka));
}

TEST_CASE("credentials that are refused: librdkafka's words, and where to look") {
    const char* const password =
        "sasl_ssl://kafka:9093/bootstrap: SASL authentication error: Authentication failed: Invalid username "
        "or "
        "password (after 300ms in state AUTH_REQ)";
    CHECK(explain_refusal(password, 0, old_librdkafka) ==
          "sasl_ssl://kafka:9093/bootstrap: SASL authentication error: Authentication failed: Invalid "
          "username or "
          "password: check sasl.username and sasl.password");
    const char* const scram =
        "sasl_ssl://kafka:9093/bootstrap: SASL authentication error: Authentication failed during "
        "authentication "
        "due to invalid credentials with SASL mechanism SCRAM-SHA-512 (after 302ms in state AUTH_REQ)";
    CHECK_THAT(explain_refusal(scram, 0, old_librdkafka),
               ContainsSubstring("does not work with librdkafka 2.0.2"));
    CHECK_THAT(explain_refusal(scram, 0, new_librdkafka), ContainsSubstring("check sasl.username"));
}

TEST_CASE("a mechanism that the broker has not: that it has SCRAM is no warning of SCRAM") {
    const char* const words =
        "sasl_ssl://kafka:9093/bootstrap: SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL "
        "mechanism: broker's supported mechanisms: SCRAM-SHA-512";
    CHECK(explain_refusal(words, 0, old_librdkafka) ==
          std::string(words) + ": set sasl.mechanism to one that the broker has");
}

TEST_CASE("a broker whose TLS fails is tried less and less often") {
    using std::chrono::milliseconds;
    RetryGate gate;
    gate.set_longest(milliseconds(3000));
    const auto start = RetryGate::Clock::now();
    CHECK(gate.may_try("kafka:9093", start));
    gate.failed("kafka:9093", start);
    gate.failed("kafka:9093", start + milliseconds(1));  // the same try
    CHECK_FALSE(gate.may_try("kafka:9093", start + milliseconds(999)));
    CHECK(gate.may_try("kafka:9093", start + milliseconds(1000)));
    CHECK(gate.may_try("other:9093", start));
    gate.failed("kafka:9093", start + milliseconds(1000));
    CHECK_FALSE(gate.may_try("kafka:9093", start + milliseconds(2999)));
    CHECK(gate.may_try("kafka:9093", start + milliseconds(3000)));
    gate.failed("kafka:9093", start + milliseconds(3000));
    CHECK_FALSE(gate.may_try("kafka:9093", start + milliseconds(5999)));
    CHECK(gate.may_try("kafka:9093", start + milliseconds(6000)));
    gate.failed("kafka:9093", start + milliseconds(6000));
    gate.open();
    CHECK(gate.may_try("kafka:9093", start + milliseconds(6000)));
}

TEST_CASE("files that a client was made from: one that is replaced is told") {
    const spool::TemporaryFolder temporary;
    const std::filesystem::path folder = temporary.path();
    const std::string ca = folder / "ca.pem", secret = folder / "secret", other = folder / "other";
    std::ofstream(ca) << "first";
    std::ofstream(other) << "other";
    std::filesystem::create_symlink(ca, folder / "link");
    Options options;
    options.properties["ssl.ca.location"] = folder / "link";
    options.properties["client.id"] = other;
    options.property_files["sasl.password"] = secret;
    ClientFiles files(options);
    CHECK_FALSE(files.replaced());
    std::ofstream(other) << "no file of the client's";
    CHECK_FALSE(files.replaced());
    CHECK_FALSE(files.replaced());
    // Told when nothing has changed since it was looked at last.
    const auto told = [&files] {
        CHECK_FALSE(files.replaced());
        return files.replaced();
    };

    SECTION("behind a link that leads elsewhere now") {
        std::filesystem::remove(folder / "link");
        CHECK_FALSE(told());  // gone: nothing to read yet
        std::filesystem::create_symlink(other, folder / "link");
        CHECK(told() == (folder / "link").string());
    }
    SECTION("by another content of the same size") {
        std::ofstream(ca) << "secnd";
        CHECK(told() == (folder / "link").string());
    }
    SECTION("one that was missing") {
        std::ofstream(secret) << "word";
        CHECK(told() == secret);
    }
    SECTION("two, one after the other") {
        std::ofstream(ca) << "secnd";
        CHECK_FALSE(files.replaced());
        std::ofstream(secret) << "word";
        CHECK(told() == (folder / "link").string());
        CHECK(files.replaced() == (folder / "link").string());  // and still is
        std::ofstream(ca) << "third!";
        CHECK(told() == (folder / "link").string());
    }
}
