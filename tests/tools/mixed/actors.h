// SPDX-License-Identifier: Apache-2.0
//
// What the processes of a group do. run_… is a process's whole life.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tests/tools/mixed/oracle.h"
#include "tests/tools/mixed/plan.h"

namespace mix {

struct Scene {
    const World& world;
    const Group& group;
    uint32_t number;  // of the group: part of its processes' names
    uint16_t port;    // of its server
    const std::string& oracle;
};

// Makes these attempts one after another.
void run_client(const Scene& scene, unsigned client, std::span<const Attempt> attempts);

// Makes these attempts all at once, and waits until the kernel has given them up.
void run_waiting_client(const Scene& scene, unsigned client, std::span<const Attempt> attempts);

// Listens, writes a byte to `ready`, and accepts what the group's clients establish: by itself, or by
// workers.
void run_server(const Scene& scene, int ready);

// Runs `life` in a child, which ends with 0 unless it throws.
pid_t spawn(const std::function<void()>& life);

// Throws unless all of them ended with 0.
void await(const std::vector<pid_t>& children);

}  // namespace mix
