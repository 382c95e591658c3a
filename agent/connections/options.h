// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tcptrail::connections {

struct Options {
    uint32_t progress_interval_secs = 300;  // between two events of a connection that is open; 0: none
    bool opened = false;                    // also an event when a connection is established
};

}  // namespace tcptrail::connections
