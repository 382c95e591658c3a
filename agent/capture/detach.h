// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent/base/error.h"

namespace tcptrail::capture {

struct Detached {
    uint64_t unread = 0;  // records of connections that no agent has taken: lost
};

// Ends all tracing that is pinned in `directory` and removes the directory. Nothing where there is none.
// Fails where an agent is running with it, or where it is not on a bpffs, and then changes nothing.
Result<std::optional<Detached>> detach(const std::string& directory);

}  // namespace tcptrail::capture
