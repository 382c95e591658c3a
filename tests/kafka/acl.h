// SPDX-License-Identifier: Apache-2.0
//
// Access rules of a topic on the test broker, which lets everybody do everything until there is one.
#pragma once

#include <string>

namespace tests {

enum class Access {
    none,      // not even to know that the topic exists
    describe,  // to see it, not to write to it
};

// Restricts what anyone may do with the topic from now until `lift`, or until it is destroyed. Throws
// std::runtime_error with the broker's own words when it refuses.
class AccessRule {
public:
    AccessRule(std::string brokers, std::string topic, Access access);
    ~AccessRule();
    AccessRule(const AccessRule&) = delete;
    AccessRule& operator=(const AccessRule&) = delete;

    void lift();

private:
    std::string brokers_;
    std::string topic_;
    bool in_force_ = false;
};

}  // namespace tests
