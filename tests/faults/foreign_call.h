// SPDX-License-Identifier: Apache-2.0
//
// System calls that a debugger has another process make (x86-64).
#pragma once

#include <sys/types.h>

#include <vector>

namespace tests {

// Has the process close its descriptors of BPF links of tracepoints. Returns how many. REQUIREs that it
// works.
int close_links(pid_t pid);

// The same, and another file, its standard error, has their numbers from then on, which are returned.
std::vector<int> take_links(pid_t pid);

}  // namespace tests
