// SPDX-License-Identifier: Apache-2.0
//
// System calls that a debugger has another process make (x86-64).
#pragma once

#include <sys/types.h>

namespace tests {

// Has the process close its descriptors of BPF links of tracepoints. Returns how many. REQUIREs that it
// works.
int close_links(pid_t pid);

}  // namespace tests
