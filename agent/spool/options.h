// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace tcptrail::spool {

struct Options {
    std::string directory = "/var/lib/tcptrail";  // made if it is missing; holds spool.db
    uint64_t max_bytes = 1ull << 30;  // of undelivered events; beyond it the oldest are evicted and counted
};

}  // namespace tcptrail::spool
