// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace tcptrail::serve {

struct Options {
    std::string socket = "/run/tcptrail/tcptrail.sock";  // for tcptrail status; empty: none
};

}  // namespace tcptrail::serve
