// SPDX-License-Identifier: Apache-2.0
//
// What an agent may find in the place of a broker.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

namespace tests {

// Takes each connection to a port of its own on 127.0.0.1 and ends it without a word, until it is
// stopped or destroyed. Throws std::system_error when it cannot listen.
class DeafBroker {
public:
    DeafBroker();
    ~DeafBroker();
    DeafBroker(const DeafBroker&) = delete;
    DeafBroker& operator=(const DeafBroker&) = delete;

    void stop();

    uint16_t port() const { return port_; }
    std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
    uint64_t taken() const { return taken_; }  // connections so far

private:
    int listener_;
    uint16_t port_;
    std::atomic<uint64_t> taken_ = 0;
    std::thread thread_;
};

}  // namespace tests
