// SPDX-License-Identifier: Apache-2.0
//
// Connections of the test's own process on loopback, and what is told of them.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "tests/kafka/setting.h"

namespace tests {

// So many, open at once until close() or the end.
class OwnConnections {
public:
    explicit OwnConnections(uint64_t count);
    ~OwnConnections() { close(); }
    OwnConnections(const OwnConnections&) = delete;
    OwnConnections& operator=(const OwnConnections&) = delete;

    uint16_t port() const { return port_; }  // the server's
    void close();

private:
    std::vector<int> open_;
    uint16_t port_ = 0;
};

// What is told of this process's connections at a port.
struct ToldAtPort {
    uint64_t ends = 0;
    uint64_t without_beginning = 0;  // PARTIAL_BIRTH_MISSED
    uint64_t without_end = 0;        // PARTIAL_END_MISSED
    std::set<std::string> ids;
};
ToldAtPort told_at(uint16_t port, const Setting& setting);

}  // namespace tests
