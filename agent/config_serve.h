// SPDX-License-Identifier: Apache-2.0
//
// Values under serve.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/config_values.h"

namespace tcptrail {

// As serve::parse_listen_address() takes it, or empty.
Parsed<std::string> parse_listen(const std::string& text);

inline constexpr std::string_view token_file_allowed =
    "a readable file with 16 to 1024 printable characters and no blanks; empty: none";
// What is wrong with the file at `path`, and what is allowed; nothing: it has a token, or the path is empty.
std::optional<std::string> check_token_file(const std::string& path);

// The token in the file at `path`, without the end of its line.
Result<std::string> read_token(const std::string& path);

}  // namespace tcptrail
