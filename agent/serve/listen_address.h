// SPDX-License-Identifier: Apache-2.0
//
// Where the metrics are served: an address and a port, or the path of a Unix socket.
#pragma once

#include <sys/socket.h>

#include <expected>
#include <string>

namespace tcptrail::serve {

struct ListenAddress {
    std::string path;            // of a Unix socket; empty: it is none
    sockaddr_storage inet = {};  // of the family that it says
    socklen_t inet_bytes = 0;

    // Only who is on this host can reach it.
    bool is_local() const;
};

inline constexpr const char* listen_allowed =
    "address:port, [IPv6 address]:port, or the path of a Unix socket";

// "127.0.0.1:9466", "[::1]:9466", "/run/tcptrail/metrics.sock". The error says what is wrong with the text.
std::expected<ListenAddress, std::string> parse_listen_address(const std::string& text);

}  // namespace tcptrail::serve
