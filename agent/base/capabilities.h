// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

namespace tcptrail {

// One of capabilities(7) that the agent has a use for.
struct Capability {
    int value;         // CAP_…
    const char* name;  // "CAP_…"
    bool is_required;  // nothing is traced without it
    const char* what_for;
    const char* missing_fact;  // what cannot be told without it; null: nothing at all, or all can
};

std::span<const Capability> useful_capabilities();

// Whether this process has it in effect. CAP_SYS_ADMIN, from which those that are required were split off,
// stands for them still.
bool has(const Capability& capability);

// Makes use of all capabilities that this process may have. A file of a program can give capabilities without
// putting them to use (setcap …=p): then the program starts also where a few of them are withheld, and can
// say which, instead of not starting at all. Before there is a second thread.
void use_permitted_capabilities();

}  // namespace tcptrail
