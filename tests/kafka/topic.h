// SPDX-License-Identifier: Apache-2.0
//
// What an administrator does to a topic. All throw std::runtime_error with the broker's own words.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace tests {

// `replicas`: the nodes that have each partition, its preferred leader first.
void create_topic(const std::string& brokers, const std::string& topic, size_t partitions,
                  std::vector<int32_t> replicas);

void delete_topic(const std::string& brokers, const std::string& topic);

// Until it has so many.
void add_partitions(const std::string& brokers, const std::string& topic, size_t partitions);

// Nodes, by partition.
struct Replicas {
    int32_t leader = -1;  // -1: none
    std::set<int32_t> in_sync;
};

std::vector<Replicas> replicas_of(const std::string& brokers, const std::string& topic);

}  // namespace tests
