// SPDX-License-Identifier: Apache-2.0
//
// Values under serve.
#pragma once

#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/config_values.h"

namespace tcptrail {

// As serve::parse_listen_address() takes it, or empty.
Parsed<std::string> parse_listen(const std::string& text);

inline constexpr std::string_view token_file_allowed =
    "a readable file with 16 to 1024 printable characters and no blanks; empty: none";
// The path of a file with a token in it, or empty.
Parsed<std::string> parse_token_file(const std::string& path);

// The token in the file at `path`, without the end of its line.
Result<std::string> read_token(const std::string& path);

}  // namespace tcptrail
