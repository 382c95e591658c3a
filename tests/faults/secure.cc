// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/secure.h"

#include <cctype>
#include <fstream>
#include <sstream>

#include "tests/catch.h"

namespace tests {

std::string make_certificates() {
    std::string folder = std::filesystem::absolute(built("faults/certificates"));
    std::filesystem::remove_all(folder);
    system_command({"tests/faults/certificates", folder});
    return folder;
}

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

Lines plain_login(const std::string& users) {
    return {"sasl.enabled.mechanisms=PLAIN",
            "plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required " +
                users + ";"};
}

Attempts::Attempts(const std::vector<Listener>& listeners) {
    std::string rules =
        "add table inet attempts; add chain inet attempts in { type filter hook input priority 0; };";
    for (const Listener& listener : listeners)
        rules += "add rule inet attempts in tcp dport " + std::to_string(listener.port) +
                 " tcp flags syn / syn,ack counter;";
    system_command({"nft", rules});
}

Attempts::~Attempts() {
    (void)run({"/usr/bin/env", "nft", "delete table inet attempts"});
}

std::map<unsigned, unsigned> Attempts::count() const {
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

Lines Client::settings() const {
    Lines settings{"report.interval_secs=1", "kafka.properties.broker.address.family=v4"};
    for (const std::string& property : properties_)
        settings.push_back("kafka." + property);
    return settings;
}

std::vector<std::string> Client::with_file(std::vector<std::string> command) const {
    if (!file_.empty()) command.insert(command.end(), {"--config", file_});
    return command;
}

void Client::start() {
    agent_ =
        std::make_unique<Process>(with_file(setting.agent("localhost:" + std::to_string(port), settings())));
}

std::vector<std::string> Client::check() const {
    std::vector<std::string> command = setting.agent("localhost:" + std::to_string(port), settings());
    command[1] = "check";
    return with_file(std::move(command));
}

void replace(const std::filesystem::path& file, const std::filesystem::path& by) {
    std::filesystem::copy_file(by, file.string() + ".new");
    std::filesystem::rename(file.string() + ".new", file);
}

void replace_text(const std::filesystem::path& file, const std::string& text) {
    std::ofstream(file.string() + ".new") << text;
    std::filesystem::rename(file.string() + ".new", file);
}

}  // namespace tests
