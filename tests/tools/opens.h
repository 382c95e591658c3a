// SPDX-License-Identifier: Apache-2.0
//
// The kernel's own count of connections: what the tools compare theirs with.
#pragma once

#include <cstdint>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

namespace tests {

// Of one network namespace, since it began.
struct Opens {
    uint64_t active = 0;
    uint64_t passive = 0;
};

// Of the network namespace that the calling process is in. Throws std::runtime_error.
inline Opens read_opens() {
    std::ifstream file("/proc/self/net/snmp");
    std::string names;
    std::string values;
    while (std::getline(file, names) && std::getline(file, values)) {
        if (!names.starts_with("Tcp:")) continue;
        std::istringstream name_of(names);
        std::istringstream value_of(values);
        Opens opens;
        for (std::string name, value; name_of >> name && value_of >> value;) {
            if (name == "ActiveOpens") opens.active = std::stoull(value);
            if (name == "PassiveOpens") opens.passive = std::stoull(value);
        }
        return opens;
    }
    throw std::runtime_error("/proc/self/net/snmp has no line of Tcp");
}

}  // namespace tests
