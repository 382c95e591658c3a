// SPDX-License-Identifier: Apache-2.0
//
// TLS and SASL that do not fit: fault 34 of the project's list. One broker with a listener for each case, one
// agent at each, all at once; then what is wrong is mended, and no agent is started anew.
#include "tests/faults/secure.h"

#include <librdkafka/rdkafka.h>
#include <signal.h>

#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/catch.h"
#include "tests/faults/audit.h"

using namespace tests;

namespace {

constexpr const char* manual = "deploy/docs/secure-kafka.md";

std::string text_of(const std::filesystem::path& file) {
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
}

std::string command_line(const Process& process) {
    return text_of("/proc/" + std::to_string(process.pid()) + "/cmdline");
}

}  // namespace

TEST_CASE("fault 34: TLS and SASL that do not fit", "[.long][root]") {
    Broker& broker = Broker::shared();
    const std::string pki = make_certificates();
    const Lines good;
    const auto keystore = [&](const std::string& name) -> Lines {
        return {"ssl.keystore.location=" + pki + "/" + name + ".both.pem"};
    };
    const Lines required{"ssl.client.auth=required"};
    const Lines login = plain_login("user_agent=\"right-word\"");
    const std::vector<Listener> listeners{
        {"EXPIRED", 9201, "SSL", "SSL", keystore("expired"), good},
        {"FUTURE", 9202, "SSL", "SSL", keystore("future"), good},
        {"ELSEWHERE", 9203, "SSL", "SSL", keystore("elsewhere"), good},
        {"OTHER", 9204, "SSL", "SSL", keystore("other"), good},
        {"GOOD", 9205, "SSL", "SSL", good, good},
        {"MUTUAL", 9206, "SSL", "SSL", required, {"ssl.client.auth=none"}},
        {"STRICT", 9207, "SSL", "SSL", required, required},
        {"PASSWORD", 9208, "SASL_SSL", "SASL_SSL", login, login},
        {"UNKNOWN", 9209, "SASL_SSL", "SASL_SSL", login, plain_login("user_agent=\"new-word\"")},
        {"SCRAM",
         9210,
         "SASL_SSL",
         "SASL_SSL",
         {"sasl.enabled.mechanisms=SCRAM-SHA-512",
          "scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"},
         login},
        {"PLAIN", 9211, "PLAINTEXT", "SSL", good, good},
        {"TLS", 9212, "SSL", "PLAINTEXT", good, good},
        {"RELOAD", 9213, "SASL_SSL", "SASL_SSL", login, login},
        {"LATE", 9214, "SSL", "SSL", required, required},
    };
    // Names are not resolved to IPv4 where there is only 127.0.0.1 (getaddrinfo(3), AI_ADDRCONFIG).
    system_command({"ip", "address", "replace", "192.0.2.1/32", "dev", "lo"});
    broker.stop();
    broker.configure(listeners_of(listeners, pki, false));
    broker.start();

    const Folder files;
    const std::string authority = files.path() / "ca.pem", password = files.path() / "password",
                      right = files.path() / "right", early = files.path() / "early",
                      own = files.path() / "client.pem", own_key = files.path() / "client.key",
                      late = files.path() / "late.pem", late_key = files.path() / "late.key",
                      reloaded = files.path() / "reloaded.yaml";
    replace(authority, pki + "/other-ca.pem");
    replace(own, pki + "/other-client.pem");
    replace(own_key, pki + "/other-client.key");
    replace(late, pki + "/expired-client.pem");
    replace(late_key, pki + "/expired-client.key");
    replace_text(password, "wrong-word\n");
    replace_text(right, "right-word\n");
    replace_text(early, "new-word\n");
    replace_text(reloaded, "kafka: {properties: {sasl.mechanism: SCRAM-SHA-256}}\n");
    const std::string trusted = "properties.ssl.ca.location=" + pki + "/ca.pem";
    const Lines tls{"properties.security.protocol=ssl", trusted};
    const auto sasl = [&](const std::string& secret) -> Lines {
        return {"properties.security.protocol=sasl_ssl", trusted, "properties.sasl.username=agent",
                "property_files.sasl.password=" + secret};
    };
    const auto plain = [&](const std::string& secret) {
        Lines lines = sasl(secret);
        lines.emplace_back("properties.sasl.mechanism=PLAIN");
        return lines;
    };
    const auto with_own = [&](const std::string& certificate, const std::string& key) {
        Lines lines = tls;
        lines.push_back("properties.ssl.certificate.location=" + certificate);
        lines.push_back("properties.ssl.key.location=" + key);
        return lines;
    };
    std::deque<Client> clients;
    const auto add = [&](const char* name, unsigned port, const Lines& properties, const char* expected,
                         bool by_file = false, const std::string& file = {}) {
        clients.emplace_back(name, port, properties, expected, by_file, file);
    };
    add("expired certificate", 9201, tls, "the broker's certificate has expired");
    add("certificate not valid yet", 9202, tls, "is not valid yet: compare this host's clock");
    add("another host's certificate", 9203, tls, "the broker's certificate is for another name");
    add("another authority's certificate", 9204, tls, "signed by an authority that is not known here");
    add("wrong authority, file replaced", 9205,
        {"properties.security.protocol=ssl", "properties.ssl.ca.location=" + authority},
        "signed by an authority that is not known here", true);
    add("no certificate of its own", 9206, tls, "the broker asks for a certificate");
    add("wrong certificate of its own, files replaced", 9207, with_own(own, own_key),
        "the broker refuses this agent's certificate", true);
    add("wrong password, file replaced", 9208, plain(password),
        "Invalid username or password: check sasl.username and sasl.password", true);
    add("wrong password", 9209, plain(early),
        "Invalid username or password: check sasl.username and sasl.password");
    add("mechanism that the broker has not", 9210, plain(right),
        "set sasl.mechanism to one that the broker has");
    add("TLS to a plaintext port", 9211, tls, "this port does not speak TLS");
    add("plaintext to a TLS port", 9212, {}, "this port may want TLS");
    add("mechanism that the broker has not, reloaded", 9213, sasl(right), "supported mechanisms: PLAIN", true,
        reloaded);
    add("expired certificate of its own, files replaced", 9214, with_own(late, late_key),
        "the broker refuses this agent's certificate", true);

    const Attempts attempts(listeners);
    for (Client& client : clients) {
        client.setting.create_topics();
        client.start();
    }
    for (Client& client : clients)
        REQUIRE(is_tracing(client.agent()));
    const Truth truth = truth_of(run(generator(100)));
    for (const Client& client : clients) {
        INFO(client.name << ": " << client.errors());
        CHECK(eventually(seconds(10), [&] { return client.says(client.expected); }));
    }
    // The pauses have grown by now: librdkafka's own begin with 0.1 s, those for TLS with 1 s.
    const auto before = attempts.count();
    std::this_thread::sleep_for(seconds(5));
    const auto after = attempts.count();
    for (const Client& client : clients) {
        std::printf("%-48s %u attempts, %u of them in the last 5 s\n", client.name.c_str(),
                    after.at(client.port), after.at(client.port) - before.at(client.port));
        CHECK(after.at(client.port) >= 2);
        CHECK(after.at(client.port) - before.at(client.port) <= 4);
    }

    // Who asks how the agent is hears the same, and who asks before it is started. The manual has the words.
    const std::string explained = text_of(manual);
    std::deque<Process> checks;
    for (const Client& client : clients)
        checks.emplace_back(client.check());
    for (size_t i = 0; i < clients.size(); i++) {
        const Client& client = clients[i];
        const Finished status = client.setting.status();
        INFO(client.name << ": " << status.output);
        CHECK(status.status == 1);
        CHECK(status.output.find("degraded: Kafka: ") != std::string::npos);
        CHECK(status.output.find(client.expected) != std::string::npos);
        CHECK(explained.find(client.expected) != std::string::npos);
        CHECK(checks[i].wait(seconds(60)) == 1);
        INFO(checks[i].output());
        CHECK(checks[i].output().find(client.expected) != std::string::npos);
        for (const std::string& shown :
             {client.errors(), status.output, checks[i].output(), command_line(client.agent())})
            CHECK(shown.find("-word") == std::string::npos);
    }

    // On the agents' side first; the broker is as it was.
    replace(authority, pki + "/ca.pem");
    replace(own_key, pki + "/client.key");
    replace(own, pki + "/client.pem");
    replace(late_key, pki + "/client.key");
    replace(late, pki + "/client.pem");
    replace_text(password, "right-word\n");
    replace_text(reloaded, "kafka: {properties: {sasl.mechanism: PLAIN}}\n");
    for (const Client& client : clients)
        if (client.name.ends_with("reloaded")) client.agent().signal(SIGHUP);
    for (const Client& client : clients) {
        INFO(client.name << ": " << client.errors());
        if (client.by_file)
            require_delivered(client.setting, 2 * truth.connections, seconds(30));
        else
            CHECK(client.setting.delivered() == 0);
    }
    broker.stop();
    broker.configure(listeners_of(listeners, pki, true));
    broker.start();
    for (const Client& client : clients) {
        INFO(client.name << ": " << client.errors());
        require_delivered(client.setting, 2 * truth.connections, seconds(30));
    }
    for (Client& client : clients)
        client.agent().signal(SIGTERM);
    for (Client& client : clients)
        REQUIRE(client.agent().wait(seconds(30)) == 0);
    for (const Client& client : clients) {
        INFO(client.name);
        std::printf("%s: ", client.name.c_str());
        CHECK(require_audit(client.setting, {truth}).lost == 0);
    }
}

TEST_CASE("fault 34: certificates and passwords that are renewed while all is well", "[.long][root]") {
    Broker& broker = Broker::shared();
    const std::string pki = make_certificates();
    const auto trusts = [&](const std::string& authority) -> Lines {
        return {"ssl.client.auth=required", "ssl.truststore.location=" + pki + "/" + authority};
    };
    const Lines login = plain_login("user_agent=\"old-word\" user_next=\"next-word\"");
    // What each is at first, and what remains of it at last.
    const std::vector<Listener> listeners{
        {"AUTHORITY", 9201, "SSL", "SSL", {}, {"ssl.keystore.location=" + pki + "/other.both.pem"}},
        {"OWN", 9202, "SSL", "SSL", trusts("both-ca.pem"), trusts("other-ca.pem")},
        {"LOGIN", 9203, "SASL_SSL", "SASL_SSL", login, plain_login("user_next=\"next-word\"")},
    };
    system_command({"ip", "address", "replace", "192.0.2.1/32", "dev", "lo"});
    broker.stop();
    broker.configure(listeners_of(listeners, pki, false));
    broker.start();

    const Folder files;
    const std::string authority = files.path() / "ca.pem", own = files.path() / "client.pem",
                      key = files.path() / "client.key", user = files.path() / "user",
                      password = files.path() / "password";
    replace(authority, pki + "/ca.pem");
    replace(own, pki + "/client.pem");
    replace(key, pki + "/client.key");
    replace_text(user, "agent\n");
    replace_text(password, "old-word\n");
    const std::string trusted = "properties.ssl.ca.location=" + pki + "/ca.pem";
    std::deque<Client> clients;
    clients.emplace_back("the brokers' authority", 9201,
                         Lines{"properties.security.protocol=ssl", "properties.ssl.ca.location=" + authority},
                         "", true, "");
    clients.emplace_back(
        "its own certificate", 9202,
        Lines{"properties.security.protocol=ssl", trusted, "properties.ssl.certificate.location=" + own,
              "properties.ssl.key.location=" + key},
        "", true, "");
    clients.emplace_back(
        "its password", 9203,
        Lines{"properties.security.protocol=sasl_ssl", trusted, "properties.sasl.mechanism=PLAIN",
              "property_files.sasl.username=" + user, "property_files.sasl.password=" + password},
        "", true, "");
    const Client &by_authority = clients[0], &by_own = clients[1], &by_password = clients[2];
    for (Client& client : clients) {
        client.setting.create_topics();
        client.start();
    }
    std::vector<Truth> truths;
    uint64_t events = 0;
    const auto require_more = [&] {
        truths.push_back(truth_of(run(generator(100))));
        events += 2 * truths.back().connections;
        for (const Client& client : clients) {
            INFO(client.name << ": " << client.errors());
            require_delivered(client.setting, events, seconds(30));
        }
    };
    const auto require_word = [](const Client& client, const std::string& words) {
        INFO(client.name << ": " << client.errors());
        REQUIRE(eventually(seconds(15), [&] { return client.says(words); }));
    };
    for (Client& client : clients)
        REQUIRE(is_tracing(client.agent()));
    require_more();

    // What cannot be used: none of it is, and each goes on with what it has.
    replace_text(authority, "no certificate\n");
    replace(key, pki + "/other-client.key");
    replace_text(password, "wrong-word\n");
    require_word(by_authority, authority + " was replaced, and what was there before stays in use");
    require_word(by_authority, "there is no certificate in PEM format in ssl.ca.location");
    require_word(by_own, "the key in ssl.key.location is not that of the certificate");
    require_word(by_password, "Invalid username or password: check sasl.username and sasl.password");
    require_more();
    for (const Client& client : clients) {
        INFO(client.name);
        CHECK(client.setting.status().status == 0);
    }

    // What can.
    replace(authority, pki + "/both-ca.pem");
    replace(own, pki + "/other-client.pem");
    replace_text(user, "next\n");
    replace_text(password, "next-word\n");
    for (const Client& client : clients)
        require_word(client, " was replaced: the new one is in use");
    require_more();
    for (const Client& client : clients) {
        INFO(client.name << ": " << client.errors());
        CHECK_FALSE(client.says("events are kept in"));  // no trouble meanwhile
    }

    // It is in use: the brokers take nothing else any more.
    broker.stop();
    broker.configure(listeners_of(listeners, pki, true));
    broker.start();
    require_more();
    for (Client& client : clients)
        require_stops(client.agent());
    for (const Client& client : clients) {
        INFO(client.name);
        std::printf("%s: ", client.name.c_str());
        CHECK(require_audit(client.setting, truths).lost == 0);
        CHECK_FALSE(client.says("-word"));
    }
}
