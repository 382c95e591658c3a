// SPDX-License-Identifier: Apache-2.0
//
// A real Apache Kafka that a test may do anything to: it belongs to this program alone. One node of its own,
// or one of a cluster.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/kafka/process.h"

namespace tests {

// Moves this process, with all that it starts from then on, into a network namespace of its own that has a
// loopback interface and nothing else. Only the first call does so. The capture sees the whole host as
// before.
void enter_private_network();

// An address in the private network where connections are refused.
inline constexpr const char* nobody_answers = "127.0.0.1:1";

// Runs a program of the system, by its name, and REQUIREs that it succeeds.
void system_command(const std::vector<std::string>& words);

// Members REQUIRE that what they do succeeds. It listens in the private network, on 127.0.0.1.
class Broker {
public:
    // On port 9092, files in $BUILD/faults/kafka. Started with empty storage by the first call, and stopped
    // when this program ends. Runs, thawed, when it is returned.
    static Broker& shared();

    // Has empty storage and does not run yet. Files are in $BUILD/faults/`name`; the controller listens on
    // the port after `port`.
    Broker(const std::string& name, uint16_t port);
    ~Broker();
    Broker(const Broker&) = delete;
    Broker& operator=(const Broker&) = delete;

    void start();   // waits until it serves
    void stop();    // in order
    void kill();    // by SIGKILL
    void freeze();  // by SIGSTOP
    void thaw();
    bool runs() const;

    // The command line of tests/kafka/broker for this one.
    std::vector<std::string> script(const std::string& verb) const;

    // Lines of server.properties that come after the script's own, from the next start on.
    void configure(const std::string& lines) const;

    // Runs one of Kafka's own tools, such as kafka.admin.ConfigCommand; takes some seconds.
    void tool(const std::string& name, const std::vector<std::string>& arguments) const;

private:
    pid_t pid() const;

    std::string folder_;
    uint16_t port_;
};

// A way to the broker on which each byte takes so long, in either direction. The broker is started anew with
// a listener behind it, whose advertised address leads through it.
class LongWay {
public:
    LongWay(Broker& broker, std::chrono::milliseconds delay);
    LongWay(const LongWay&) = delete;
    LongWay& operator=(const LongWay&) = delete;

    static constexpr const char* address = "127.0.0.1:9221";

private:
    Process relay_;
};

// Packets to and from the broker are lost as long as it lives: nftables in the private network.
class Partition {
public:
    // `permille`: how many of a thousand, at random.
    explicit Partition(unsigned permille = 1000);
    ~Partition();
    Partition(const Partition&) = delete;
    Partition& operator=(const Partition&) = delete;
};

// The loopback of the private network carries only so much as long as it lives.
class SlowLink {
public:
    explicit SlowLink(const std::string& rate);  // "80kbit"
    ~SlowLink();
    SlowLink(const SlowLink&) = delete;
    SlowLink& operator=(const SlowLink&) = delete;
};

}  // namespace tests
