// SPDX-License-Identifier: Apache-2.0
//
// What an administrator does to a topic. All throw std::runtime_error with the broker's own words.
#pragma once

#include <string>

namespace tests {

void delete_topic(const std::string& brokers, const std::string& topic);

// Until it has so many.
void add_partitions(const std::string& brokers, const std::string& topic, size_t partitions);

}  // namespace tests
