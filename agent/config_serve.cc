// SPDX-License-Identifier: Apache-2.0
#include "agent/config_serve.h"

#include <algorithm>
#include <utility>

#include "agent/base/log.h"
#include "agent/config_file.h"
#include "agent/serve/listen_address.h"

namespace tcptrail {

namespace {

constexpr size_t most_listen_bytes = 128;
constexpr size_t least_token_bytes = 16, most_token_bytes = 1024;

}  // namespace

Parsed<std::string> parse_listen(const std::string& text) {
    if (text.empty()) return text;
    const auto address = serve::parse_listen_address(text);
    if (!address) return std::unexpected(quoted(text) + " " + address.error());
    return parse_text(text, 0, most_listen_bytes);
}

std::optional<std::string> check_token_file(const std::string& path) {
    if (path.empty()) return std::nullopt;
    auto token = read_token(path);
    if (token) return std::nullopt;
    return std::move(token.error().message) + "; allowed: " + std::string(token_file_allowed);
}

Result<std::string> read_token(const std::string& path) {
    auto token = read_small_file(path, most_token_bytes + 2);
    if (!token) return token;
    while (token->ends_with('\n') || token->ends_with('\r'))
        token->pop_back();
    const bool printable = std::ranges::all_of(*token, [](char c) { return c > ' ' && c <= '~'; });
    if (!printable || token->size() < least_token_bytes || token->size() > most_token_bytes)
        return fail(one_line(path) + ": has no token of 16 to 1024 printable characters without blanks");
    return token;
}

}  // namespace tcptrail
