// SPDX-License-Identifier: Apache-2.0
//
// Passwords and keys: where they may come from, and that nobody is shown one.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "agent/config.h"
#include "agent/config_warnings.h"
#include "agent/transmit/client.h"
#include "tests/catch.h"
#include "tests/unit/config_files.h"

using namespace tcptrail;
using Catch::Matchers::ContainsSubstring;
using tests::ConfigFolder;
using tests::error_of;
using tests::load;
using Map = std::map<std::string, std::string>;

namespace {

// What librdkafka has that is a secret, up to 2.12; an older one has fewer.
constexpr const char* secrets[] = {"sasl.password",
                                   "ssl.key.password",
                                   "ssl.key.pem",
                                   "ssl.keystore.password",
                                   "sasl.oauthbearer.client.secret",
                                   "sasl.oauthbearer.config",
                                   "sasl.oauthbearer.assertion.private.key.passphrase",
                                   "sasl.oauthbearer.assertion.private.key.pem"};
constexpr const char* no_secrets[] = {"sasl.username",
                                      "sasl.mechanism",
                                      "ssl.ca.location",
                                      "ssl.ca.pem",
                                      "ssl.key.location",
                                      "ssl.keystore.location",
                                      "ssl.certificate.pem",
                                      "sasl.kerberos.keytab",
                                      "sasl.oauthbearer.method",
                                      "sasl.oauthbearer.token.endpoint.url",
                                      "sasl.oauthbearer.assertion.private.key.file"};

std::vector<std::string> warnings_of(const std::string& yaml, mode_t mode = 0600) {
    const ConfigFolder folder;
    const std::string file = folder.write("c.yaml", yaml);
    // Nobody else's way leads through what mkdtemp() makes.
    chmod(folder.path().c_str(), 0755);
    chmod(file.c_str(), mode);
    const auto config = load_config({file, {}, {}});
    REQUIRE(config);
    return config_warnings(*config, file);
}

}  // namespace

TEST_CASE("secrets: those of librdkafka are known, and what is none") {
    for (const char* name : secrets) {
        INFO(name);
        CHECK(transmit::is_secret(name));
    }
    for (const char* name : no_secrets) {
        INFO(name);
        CHECK_FALSE(transmit::is_secret(name));
    }
}

TEST_CASE("secrets: none is shown, whether the configuration is good or not") {
    for (const char* name : secrets) {
        INFO(name);
        Config config;
        config.kafka.properties[name] = "hunter2";
        CHECK_THAT(show_config(config), !ContainsSubstring("hunter2"));
        // In the configuration itself, by the environment, as a file that does not do, by a name that is
        // wrong.
        const std::string property = name;
        const ConfigFolder folder;
        const std::string file = folder.write("secret", std::string("hunter2\0", 8));
        for (const std::string& error :
             {error_of("kafka: {properties: {" + property + ": \"hunter2\\0\"}}"),
              error_of("kafka: {properties: {" + property + "s: hunter2}}"),
              error_of("kafka: {properties: {" + property + ": [hunter2]}}"),
              error_of("", {"TCPTRAIL_KAFKA_PROPERTIES={" + property + "s: hunter2}"}),
              error_of("", {"TCPTRAIL_KAFKA_PROPERTIES=" + property + "=hunter2"}),
              error_of("kafka: {property_files: {" + property + ": " + file + "}}")}) {
            CHECK_FALSE(error.empty());
            CHECK_THAT(error, !ContainsSubstring("hunter2"));
        }
    }
}

TEST_CASE("secrets: librdkafka's own errors do not show one") {
    transmit::Options options;
    options.properties = {{"security.protocol", "ssl"}, {"ssl.key.pem", "hunter2"}};
    const auto client = transmit::check_client(options);
    REQUIRE_FALSE(client);
    CHECK(client.error().code == ExitCode::configuration);
    CHECK_THAT(client.error().message,
               ContainsSubstring("no key in PEM format in ssl.key.pem") && !ContainsSubstring("hunter2"));
}

TEST_CASE("secrets: not on the command line, where every user of the host sees them") {
    const std::string refused =
        ": who lists the processes would see it; allowed: a file with it in "
        "kafka.property_files.sasl.password";
    CHECK(error_of("", {}, {"kafka.properties.sasl.password=hunter2"}) ==
          "--set kafka.properties.sasl.password" + refused);
    CHECK(error_of("", {}, {"kafka.properties={client.id: x, sasl.password: hunter2}"}) ==
          "--set kafka.properties: sasl.password" + refused);
    CHECK(error_of("", {}, {"kafka.properties.sasl.username=x"}).empty());
    // Only the agent's own user and root read these.
    CHECK(load("", {"TCPTRAIL_KAFKA_PROPERTIES={sasl.password: hunter2}"}));
    CHECK(load("kafka: {properties: {sasl.password: hunter2}}"));
}

TEST_CASE("secrets: systemd's credentials") {
    const ConfigFolder credentials;
    (void)credentials.write("password", "word\n");
    (void)credentials.write("key", "a key\n");
    (void)credentials.write("token", "0123456789abcdef\n");
    const std::string variable = "CREDENTIALS_DIRECTORY=" + credentials.path();
    const std::string yaml =
        "kafka:\n"
        "  properties:\n"
        "    ssl.key.location: ${CREDENTIALS_DIRECTORY}/key\n"
        "    client.id: ${CREDENTIALS_DIRECTORY}/x\n"
        "  property_files:\n"
        "    sasl.password: ${CREDENTIALS_DIRECTORY}/password\n"
        "serve:\n"
        "  metrics:\n"
        "    token_file: ${CREDENTIALS_DIRECTORY}/token\n";
    const auto config = load(yaml, {"OTHER=x", "CREDENTIALS_DIRECTORY_2=x", variable});
    REQUIRE(config);
    CHECK(config->kafka.property_files == Map{{"sasl.password", credentials.path() + "/password"}});
    CHECK(config->kafka.properties.at("ssl.key.location") == credentials.path() + "/key");
    CHECK(config->serve.metrics.token_file == credentials.path() + "/token");
    // It is no path.
    CHECK(config->kafka.properties.at("client.id") == "${CREDENTIALS_DIRECTORY}/x");

    const std::string missing =
        "kafka:\n  property_files:\n    sasl.password: ${CREDENTIALS_DIRECTORY}/none\n";
    CHECK(error_of(missing, {variable}) ==
          "FILE:3: kafka.property_files.sasl.password: file " + credentials.path() +
              "/none: cannot be read: No such file or directory; allowed: a readable file");
    CHECK(error_of(missing) ==
          "FILE:3: kafka.property_files.sasl.password: CREDENTIALS_DIRECTORY is not set: systemd sets it, "
          "for a "
          "service with LoadCredential=; by hand, as root and while the service runs: env "
          "CREDENTIALS_DIRECTORY=/run/credentials/tcptrail.service tcptrail …");
}

TEST_CASE("secrets: who does not need them need not be allowed to read them") {
    const ConfigFolder folder;
    const std::string file =
        folder.write("c.yaml",
                     "kafka:\n"
                     "  properties: {ssl.key.location: /none/key}\n"
                     "  property_files:\n"
                     "    sasl.password: ${CREDENTIALS_DIRECTORY}/password\n"
                     "serve: {socket: /run/x.sock, metrics: {token_file: /none/token}}\n");
    CHECK_FALSE(load_config({file, {}, {}}));
    const auto config = load_config({file, {}, {}, false});
    REQUIRE(config);
    CHECK(config->serve.socket == "/run/x.sock");
    CHECK_THAT(show_config(*config),
               ContainsSubstring("sasl.password: \"${CREDENTIALS_DIRECTORY}/password\""));
}

TEST_CASE("secrets: the file in force is the one that must be there") {
    const ConfigFolder folder;
    const std::string good = folder.write("password", "word\n");
    const std::string yaml = "kafka: {property_files: {sasl.password: /none/password}}";
    CHECK_THAT(error_of(yaml),
               ContainsSubstring("FILE:1: kafka.property_files.sasl.password: file /none/password"));
    CHECK(load(yaml, {}, {"kafka.property_files.sasl.password=" + good}));
}

TEST_CASE("secrets: certificates and keys must be there") {
    for (const char* property :
         {"ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location"}) {
        const std::string name = property;
        const std::string allowed =
            name == "ssl.ca.location" ? "a readable file, or a folder" : "a readable file";
        CHECK(error_of("kafka: {properties: {" + name + ": /none/file}}") ==
              "FILE:1: kafka.properties." + name +
                  ": file /none/file: cannot be read: No such file or directory; allowed: " + allowed);
    }
    CHECK(load("kafka: {properties: {ssl.ca.location: /tmp}}"));
    CHECK(load("kafka: {properties: {ssl.ca.location: probe}}"));
}

TEST_CASE("secrets: a file that is not there has an exit status of its own") {
    const ConfigFolder folder;
    (void)folder.write("empty", "");
    const std::pair<const char*, ExitCode> files[] = {{"/none/password", ExitCode::no_input},
                                                      {"/none", ExitCode::no_input},
                                                      {"/empty", ExitCode::configuration},
                                                      {"/empty/password", ExitCode::configuration},
                                                      {"", ExitCode::configuration}};
    for (const auto& [name, code] : files) {
        const auto config = load("kafka: {property_files: {sasl.password: '" + folder.path() + name + "'}}");
        INFO(name);
        REQUIRE_FALSE(config);
        CHECK(config.error().code == code);
    }
    const auto key = load("kafka: {properties: {ssl.key.location: /none/key}}");
    REQUIRE_FALSE(key);
    CHECK(key.error().code == ExitCode::no_input);
    const auto token = load("serve: {metrics: {token_file: /none/token}}");
    REQUIRE_FALSE(token);
    CHECK(token.error().code == ExitCode::no_input);
}

TEST_CASE("secrets: what everybody can read is warned of") {
    const ConfigFolder folder;
    const std::string secret = folder.write("secret", "word");
    const std::string yaml =
        "kafka: {properties: {security.protocol: sasl_ssl}, property_files: {sasl.password: " + secret + "}}";
    const std::string warning = "kafka.property_files.sasl.password: everybody on this host can read " +
                                secret + ": take that from others (chmod o= " + secret + ")";
    chmod(secret.c_str(), 0644);
    chmod(folder.path().c_str(), 0755);
    CHECK(warnings_of(yaml) == std::vector{warning});
    chmod(secret.c_str(), 0640);
    CHECK(warnings_of(yaml).empty());
    // Behind a folder that others may not enter.
    chmod(secret.c_str(), 0644);
    chmod(folder.path().c_str(), 0700);
    CHECK(warnings_of(yaml).empty());

    const std::string own = "kafka: {properties: {security.protocol: sasl_ssl, sasl.password: hunter2}}";
    CHECK(warnings_of(own).empty());
    const auto warned = warnings_of(own, 0644);
    REQUIRE(warned.size() == 1);
    CHECK_THAT(warned[0],
               ContainsSubstring("kafka.properties.sasl.password: everybody on this host can read") &&
                   !ContainsSubstring("hunter2"));
    CHECK(warnings_of("kafka: {properties: {security.protocol: sasl_ssl, sasl.username: x}}", 0644).empty());
}

TEST_CASE("secrets: one in the service's environment that everybody can read is warned of") {
    const ConfigFolder folder;
    chmod(folder.path().c_str(), 0755);
    const auto warnings = [&](const std::string& text, mode_t mode) {
        const std::string file = folder.write("default", text);
        chmod(file.c_str(), mode);
        return config_warnings(Config(), "", file);
    };
    const std::string secret =
        "# a comment\nTCPTRAIL_NODE=a\nTCPTRAIL_KAFKA_PROPERTIES='{sasl.username: x, sasl.password: "
        "hunter2}'\n";
    const auto warned = warnings(secret, 0644);
    REQUIRE(warned.size() == 1);
    CHECK_THAT(warned[0],
               ContainsSubstring("kafka.properties.sasl.password: everybody on this host can read " +
                                 folder.path()) &&
                   !ContainsSubstring("hunter2"));
    CHECK(warnings(secret, 0600).empty());
    CHECK(warnings("TCPTRAIL_KAFKA_PROPERTIES={sasl.username: x}\n", 0644).empty());
    CHECK(warnings("TCPTRAIL_KAFKA_PROPERTIES={nonsense\n=\n", 0644).empty());
    CHECK(config_warnings(Config(), "", folder.path() + "/none").empty());
}

TEST_CASE("secrets: what is set and not used is warned of") {
    CHECK(warnings_of("kafka: {properties: {sasl.username: x}}") ==
          std::vector<std::string>{"kafka: sasl.username is set and not used: security.protocol is "
                                   "plaintext, not sasl_ssl or sasl_plaintext"});
    CHECK(warnings_of("kafka: {properties: {security.protocol: SSL, sasl.username: x}}") ==
          std::vector<std::string>{
              "kafka: sasl.username is set and not used: security.protocol is ssl, not sasl_ssl"});
    CHECK(warnings_of("kafka: {properties: {ssl.ca.location: /tmp}}") ==
          std::vector<std::string>{"kafka: ssl.ca.location is set and not used: security.protocol is "
                                   "plaintext, not ssl or sasl_ssl"});
    CHECK(warnings_of("kafka: {properties: {security.protocol: sasl_plaintext, sasl.mechanism: PLAIN}}") ==
          std::vector<std::string>{
              "kafka: the password goes over the network as it is: set security.protocol to sasl_ssl"});
    // Whoever took the password so can be anybody.
    CHECK_THAT(warnings_of("kafka: {properties: {security.protocol: sasl_ssl, sasl.mechanism: PLAIN, "
                           "enable.ssl.certificate.verification: 'false'}}")
                   .at(0),
               ContainsSubstring("anybody can pass for the broker"));
    CHECK_THAT(warnings_of("kafka: {properties: {security.protocol: SSL, "
                           "ssl.endpoint.identification.algorithm: none}}")
                   .at(0),
               ContainsSubstring("whoever has a certificate of that authority"));
    CHECK(warnings_of("kafka: {properties: {security.protocol: sasl_ssl, sasl.mechanism: PLAIN, "
                      "ssl.ca.location: /tmp}}")
              .empty());
    CHECK(warnings_of(
              "kafka: {properties: {security.protocol: ssl, ssl.certificate.location: /etc/hostname}}") ==
          std::vector<std::string>{
              "kafka: there is a certificate without its key, and it is not used: set ssl.key.location"});
    CHECK(warnings_of("{}").empty());
}
