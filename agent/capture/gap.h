// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace tcptrail::capture {

// A time of which connections may be missing altogether: no hook was at work for some of it.
struct Gap {
    uint64_t from_unix_ns;   // tracing was seen to work
    uint64_t until_unix_ns;  // it was put right
    std::string reason;
};

}  // namespace tcptrail::capture
