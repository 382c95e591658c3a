// SPDX-License-Identifier: Apache-2.0
//
// What curl would do: a guest has none.
#pragma once

#include <cstdint>
#include <string>

#include "agent/base/fd.h"

namespace tcptrail::test {

struct HttpAnswer {
    int status = 0;  // 0: there was none
    std::string head, body;
};

// Asks 127.0.0.1 for a path, with lines of the head besides (each with its CRLF), and waits for the end.
HttpAnswer http_get(uint16_t port, const std::string& path, const std::string& lines = "");
// The same at a Unix socket.
HttpAnswer http_get(const std::string& socket, const std::string& path);

// Sends these bytes to 127.0.0.1, and reads nothing. Not valid: nobody is there.
Fd http_begin(uint16_t port, const std::string& bytes);

// A port of 127.0.0.1 that nobody listened at a moment ago.
uint16_t free_port();

}  // namespace tcptrail::test
