// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

namespace tcptrail::test {

// What a child that runs the binary may do.
enum class Privileges {
    root,
    root_without_admin,  // uid 0, but of all capabilities CAP_BPF and CAP_PERFMON only
    nobody,              // uid 65534, no_new_privs, CAP_BPF and CAP_PERFMON only
};

// In a forked child: becomes this, then executes argv[0]. Returns only when something fails, with the errno.
int execute_as(Privileges privileges, const std::vector<char*>& argv);

}  // namespace tcptrail::test
