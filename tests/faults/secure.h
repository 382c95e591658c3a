// SPDX-License-Identifier: Apache-2.0
//
// A broker with many listeners, each secured in its own way, and an agent at each.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/faults/broker.h"
#include "tests/kafka/setting.h"

namespace tests {

using Lines = std::vector<std::string>;

// A listener of the broker as it is at first, and as it is after the administrator has put it right.
struct Listener {
    std::string name;
    unsigned port;
    std::string protocol, right_protocol;
    Lines settings, right_settings;  // what follows "listener.name.<name>."
};

// Folder of keys and certificates (tests/faults/certificates), made anew. It stays: the shared broker needs
// it until this program ends.
std::string make_certificates();

// For Broker::configure(): its listeners at localhost, as they are at first or put right.
std::string listeners_of(const std::vector<Listener>& listeners, const std::string& certificates, bool right);

// The settings of a SASL/PLAIN listener; `users`: user_NAME="PASSWORD", with blanks between them.
Lines plain_login(const std::string& users);

// How often somebody has tried to connect to each port since it was made.
class Attempts {
public:
    explicit Attempts(const std::vector<Listener>& listeners);
    ~Attempts();
    Attempts(const Attempts&) = delete;
    Attempts& operator=(const Attempts&) = delete;

    std::map<unsigned, unsigned> count() const;
};

// An agent at one listener. What is secret comes from files: nothing of it may be in its command line.
class Client {
public:
    // `properties`: key=value below kafka. `file`: a configuration file, or empty. `expected`: in what it
    // says; empty: it has nothing to say. `mended_by_file`: on the agent's side.
    Client(std::string title, unsigned at, Lines properties, std::string words, bool mended_by_file,
           std::string file)
        : name(std::move(title)),
          port(at),
          expected(std::move(words)),
          by_file(mended_by_file),
          properties_(std::move(properties)),
          file_(std::move(file)) {}

    const std::string name;
    const unsigned port;
    const std::string expected;
    const bool by_file;
    const Setting setting;

    void start();
    Process& agent() const { return *agent_; }
    std::string errors() const { return agent_->errors(); }
    bool says(const std::string& words) const { return errors().find(words) != std::string::npos; }

    // `tcptrail check` with its configuration.
    std::vector<std::string> check() const;

private:
    Lines settings() const;
    std::vector<std::string> with_file(std::vector<std::string> command) const;

    const Lines properties_;
    const std::string file_;
    std::unique_ptr<Process> agent_;
};

// Puts another file in its place, at once.
void replace(const std::filesystem::path& file, const std::filesystem::path& by);
void replace_text(const std::filesystem::path& file, const std::string& text);

}  // namespace tests
