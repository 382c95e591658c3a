// SPDX-License-Identifier: Apache-2.0
//
// TLS and SASL that do not fit: fault 34 of the project's list. One broker with a listener for each case, one
// agent at each, all at once; then what is wrong is mended, and no agent is started anew.
#include <librdkafka/rdkafka.h>
#include <signal.h>

#include <cctype>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"

using namespace tests;

namespace {

using Lines = std::vector<std::string>;

// A listener of the broker as it is at first, and as it is after the administrator has put it right.
struct Listener {
    std::string name;
    unsigned port;
    std::string protocol, right_protocol;
    Lines settings, right_settings;  // what follows "listener.name.<name>."
};

std::string listeners_of(const std::vector<Listener>& listeners, const std::string& certificates,
                         bool right) {
    std::string addresses = "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093";
    std::string protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT";
    std::string settings =
        "inter.broker.listener.name=PLAINTEXT\n"
        "ssl.keystore.type=PEM\nssl.keystore.location=" +
        certificates + "/good.both.pem\nssl.truststore.type=PEM\nssl.truststore.location=" + certificates +
        "/ca.pem\n";
    for (const Listener& listener : listeners) {
        addresses += "," + listener.name + "://localhost:" + std::to_string(listener.port);
        protocols += "," + listener.name + ":" + (right ? listener.right_protocol : listener.protocol);
        std::string lower = listener.name;
        for (char& letter : lower)
            letter = static_cast<char>(std::tolower(letter));
        for (const std::string& setting : right ? listener.right_settings : listener.settings)
            settings.append("listener.name.").append(lower).append(".").append(setting).append("\n");
    }
    return "listeners=" + addresses + "\nadvertised.listeners=" + addresses +
           "\nlistener.security.protocol.map=" + protocols + "\n" + settings;
}

std::string plain_login(const std::string& users) {
    return "plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required " +
           users + ";";
}

// How often somebody tried to connect to each port, from now on.
class Attempts {
public:
    explicit Attempts(const std::vector<Listener>& listeners) {
        std::string rules =
            "add table inet attempts; add chain inet attempts in { type filter hook input priority 0; };";
        for (const Listener& listener : listeners)
            rules += "add rule inet attempts in tcp dport " + std::to_string(listener.port) +
                     " tcp flags syn / syn,ack counter;";
        system_command({"nft", rules});
    }
    ~Attempts() { (void)run({"/usr/bin/env", "nft", "delete table inet attempts"}); }
    Attempts(const Attempts&) = delete;
    Attempts& operator=(const Attempts&) = delete;

    std::map<unsigned, unsigned> count() const {
        std::map<unsigned, unsigned> by_port;
        // tcp dport 9201 tcp flags syn / syn,ack counter packets 3 bytes 180
        const Finished listed = run({"/usr/bin/env", "nft", "list table inet attempts"});
        std::istringstream lines(listed.output);
        for (std::string line; std::getline(lines, line);) {
            const size_t port = line.find("dport "), packets = line.find("packets ");
            if (port != std::string::npos && packets != std::string::npos)
                by_port[static_cast<unsigned>(std::stoul(line.substr(port + 6)))] =
                    static_cast<unsigned>(std::stoul(line.substr(packets + 8)));
        }
        return by_port;
    }
};

// An agent at one listener.
class Client {
public:
    // `expected`: in what it says. `by_file`: mended on the agent's side.
    Client(std::string title, unsigned at, Lines properties, std::string words, bool mended_by_file)
        : name(std::move(title)),
          port(at),
          expected(std::move(words)),
          by_file(mended_by_file),
          properties_(std::move(properties)) {}

    const std::string name;
    const unsigned port;
    const std::string expected;
    const bool by_file;
    const Setting setting;

    void start() {
        Lines settings{"report.interval_secs=1", "kafka.properties.broker.address.family=v4"};
        for (const std::string& property : properties_)
            settings.push_back("kafka." + property);
        agent_ = std::make_unique<Process>(setting.agent("localhost:" + std::to_string(port), settings));
    }
    Process& agent() { return *agent_; }
    std::string errors() const { return agent_->errors(); }

private:
    const Lines properties_;
    std::unique_ptr<Process> agent_;
};

void replace(const std::filesystem::path& file, const std::filesystem::path& by) {
    std::filesystem::copy_file(by, file.string() + ".new");
    std::filesystem::rename(file.string() + ".new", file);
}

void write(const std::filesystem::path& file, const std::string& text) {
    std::ofstream(file.string() + ".new") << text;
    std::filesystem::rename(file.string() + ".new", file);
}

}  // namespace

TEST_CASE("fault 34: TLS and SASL that do not fit", "[.long][root]") {
    Broker& broker = Broker::shared();
    // Not in the test's own folder: the broker needs them until this program ends.
    const std::string pki = std::filesystem::absolute(built("faults/certificates"));
    std::filesystem::remove_all(pki);
    system_command({"tests/faults/certificates", pki});

    const Lines good;
    const auto keystore = [&](const std::string& name) -> Lines {
        return {"ssl.keystore.location=" + pki + "/" + name + ".both.pem"};
    };
    const std::vector<Listener> listeners{
        {"EXPIRED", 9201, "SSL", "SSL", keystore("expired"), good},
        {"FUTURE", 9202, "SSL", "SSL", keystore("future"), good},
        {"ELSEWHERE", 9203, "SSL", "SSL", keystore("elsewhere"), good},
        {"OTHER", 9204, "SSL", "SSL", keystore("other"), good},
        {"GOOD", 9205, "SSL", "SSL", good, good},
        {"MUTUAL", 9206, "SSL", "SSL", {"ssl.client.auth=required"}, {"ssl.client.auth=none"}},
        {"STRICT", 9207, "SSL", "SSL", {"ssl.client.auth=required"}, {"ssl.client.auth=required"}},
        {"PASSWORD",
         9208,
         "SASL_PLAINTEXT",
         "SASL_PLAINTEXT",
         {"sasl.enabled.mechanisms=PLAIN", plain_login("user_agent=\"right\"")},
         {"sasl.enabled.mechanisms=PLAIN", plain_login("user_agent=\"right\"")}},
        {"UNKNOWN",
         9209,
         "SASL_PLAINTEXT",
         "SASL_PLAINTEXT",
         {"sasl.enabled.mechanisms=PLAIN", plain_login("user_agent=\"right\"")},
         {"sasl.enabled.mechanisms=PLAIN", plain_login("user_agent=\"new\"")}},
        {"SCRAM",
         9210,
         "SASL_PLAINTEXT",
         "SASL_PLAINTEXT",
         {"sasl.enabled.mechanisms=SCRAM-SHA-512",
          "scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"},
         {"sasl.enabled.mechanisms=PLAIN", plain_login("user_agent=\"right\"")}},
        {"PLAIN", 9211, "PLAINTEXT", "SSL", good, good},
        {"TLS", 9212, "SSL", "PLAINTEXT", good, good},
    };
    // Names are not resolved to IPv4 where there is only 127.0.0.1 (getaddrinfo(3), AI_ADDRCONFIG).
    system_command({"ip", "address", "replace", "192.0.2.1/32", "dev", "lo"});
    broker.stop();
    broker.configure(listeners_of(listeners, pki, false));
    broker.start();

    const Folder files;
    const std::string authority = files.path() / "ca.pem", password = files.path() / "password",
                      own = files.path() / "client.pem", own_key = files.path() / "client.key";
    replace(authority, pki + "/other-ca.pem");
    replace(own, pki + "/other-client.pem");
    replace(own_key, pki + "/other-client.key");
    write(password, "wrong\n");
    const Lines tls{"properties.security.protocol=ssl", "properties.ssl.ca.location=" + pki + "/ca.pem"};
    const auto sasl = [](const std::string& secret) -> Lines {
        return {"properties.security.protocol=sasl_plaintext", "properties.sasl.mechanism=PLAIN",
                "properties.sasl.username=agent", secret};
    };
    const Lines right = sasl("properties.sasl.password=right");
    std::deque<Client> clients;
    const auto add = [&](const char* name, unsigned port, const Lines& properties, const char* expected,
                         bool by_file = false) {
        clients.emplace_back(name, port, properties, expected, by_file);
    };
    add("expired certificate", 9201, tls, "certificate has expired");
    add("certificate not valid yet", 9202, tls, "is not valid yet: compare this host's clock");
    add("another host's certificate", 9203, tls, "is for another name");
    add("another authority's certificate", 9204, tls, "signed by an authority that is not known here");
    add("wrong authority, file replaced", 9205,
        {"properties.security.protocol=ssl", "properties.ssl.ca.location=" + authority},
        "signed by an authority that is not known here", true);
    add("no certificate of its own", 9206, tls, "the broker asks for a certificate");
    Lines with_own = tls;
    with_own.push_back("properties.ssl.certificate.location=" + own);
    with_own.push_back("properties.ssl.key.location=" + own_key);
    add("wrong certificate of its own, files replaced", 9207, with_own,
        "the broker refuses this agent's certificate", true);
    add("wrong password, file replaced", 9208, sasl("property_files.sasl.password=" + password),
        "Invalid username or password: check sasl.username and sasl.password", true);
    add("wrong password", 9209, sasl("properties.sasl.password=new"), "Invalid username or password");
    add("mechanism that the broker has not", 9210, right, "supported mechanisms: SCRAM-SHA-512");
    add("TLS to a plaintext port", 9211, tls, "this port does not speak TLS");
    add("plaintext to a TLS port", 9212, {}, "this port may want TLS");

    if (rd_kafka_version() < 0x020601ff) {
        const Finished checked =
            run({built("tcptrail"), "check", "--set", "kafka.brokers=localhost:9210", "--set",
                 "kafka.properties.security.protocol=sasl_plaintext", "--set",
                 "kafka.properties.sasl.mechanism=SCRAM-SHA-512", "--set",
                 "kafka.properties.sasl.username=agent", "--set", "kafka.properties.sasl.password=right"});
        CHECK(checked.output.find("SCRAM-SHA-512 does not work with librdkafka") != std::string::npos);
        CHECK(checked.output.find("invalid credentials with SASL mechanism SCRAM-SHA-512: SCRAM does not") !=
              std::string::npos);
    }

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
        CHECK(eventually(seconds(10),
                         [&] { return client.errors().find(client.expected) != std::string::npos; }));
    }
    // The pauses have grown by now: librdkafka's own begin with 0.1 s, those for TLS with 1 s.
    const auto before = attempts.count();
    std::this_thread::sleep_for(seconds(5));
    const auto after = attempts.count();
    for (const Client& client : clients) {
        std::printf("%-45s %u attempts, %u of them in the last 5 s\n", client.name.c_str(),
                    after.at(client.port), after.at(client.port) - before.at(client.port));
        CHECK(after.at(client.port) >= 2);
        CHECK(after.at(client.port) - before.at(client.port) <= 4);
    }

    // On the agents' side first; the broker is as it was.
    replace(authority, pki + "/ca.pem");
    replace(own_key, pki + "/client.key");
    replace(own, pki + "/client.pem");
    write(password, "right\n");
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
