// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/http_request.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace tcptrail::serve {

namespace {

constexpr int bad_request = 400, method_not_allowed = 405, content_too_large = 413, bad_version = 505;

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_word(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, {}, lower, lower);
}

// tchar of RFC 9110.
bool is_token(std::string_view text) {
    constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
    return !text.empty() && std::ranges::all_of(text, [&](char c) {
        return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ||
               marks.find(c) != std::string_view::npos;
    });
}

// Of a value: no control characters but tabs.
bool is_plain(std::string_view text) {
    return std::ranges::none_of(
        text, [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; });
}

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blanks = " \t";
    const size_t first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// What comes before `mark`; the rest is left behind it. All of it where there is no mark.
std::string_view take_until(std::string_view& text, std::string_view mark) {
    const size_t end = text.find(mark);
    const std::string_view taken = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + mark.size());
    return taken;
}

int parse_request_line(std::string_view line, HttpRequest& request, bool& names_host) {
    const std::string_view method = take_until(line, " ");
    std::string_view target = take_until(line, " ");
    if (!is_token(method) || target.empty()) return bad_request;
    if (line != "HTTP/1.1" && line != "HTTP/1.0")
        return line.starts_with("HTTP/") && is_plain(line) ? bad_version : bad_request;
    names_host = line == "HTTP/1.1";
    if (method != "GET" && method != "HEAD") return method_not_allowed;
    request.is_head = method == "HEAD";
    // What a proxy is asked: http://host/path
    constexpr std::string_view scheme = "http://";
    if (target.size() > scheme.size() && same_word(target.substr(0, scheme.size()), scheme)) {
        target.remove_prefix(scheme.size());
        const size_t slash = target.find('/');
        target = slash == std::string_view::npos ? "/" : target.substr(slash);
    }
    if (target[0] != '/' || std::ranges::any_of(target, [](char c) { return c <= 0x20 || c == 0x7f; }))
        return bad_request;
    request.path = target.substr(0, target.find_first_of("?#"));
    return 0;
}

struct Seen {
    bool host = false, authorization = false;
};

int parse_header(std::string_view line, HttpRequest& request, Seen& seen) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return bad_request;
    const std::string_view name = line.substr(0, colon), value = trimmed(line.substr(colon + 1));
    // A folded line begins with a blank, which is in no token.
    if (!is_token(name) || !is_plain(value)) return bad_request;
    if (same_word(name, "host")) return std::exchange(seen.host, true) ? bad_request : 0;
    if (same_word(name, "authorization")) {
        if (std::exchange(seen.authorization, true)) return bad_request;
        request.authorization = value;
    } else if (same_word(name, "accept")) {
        request.accept += (request.accept.empty() ? "" : ",") + std::string(value);
    } else if (same_word(name, "transfer-encoding") || (same_word(name, "content-length") && value != "0")) {
        return content_too_large;  // nothing that we answer takes a body
    }
    return 0;
}

// Of one media range: 1 where nothing is said.
double quality_of(std::string_view parameters) {
    while (!parameters.empty()) {
        std::string_view value = take_until(parameters, ";");
        const std::string_view name = trimmed(take_until(value, "="));
        if (!same_word(name, "q")) continue;
        const std::string number(trimmed(value));
        return std::clamp(std::strtod(number.c_str(), nullptr), 0.0, 1.0);
    }
    return 1;
}

}  // namespace

std::optional<ParsedRequest> parse_request(std::string_view bytes) {
    constexpr std::string_view line_end = "\r\n";
    // Empty lines in front are to be passed over.
    while (bytes.starts_with(line_end))
        bytes.remove_prefix(line_end.size());
    const size_t end = bytes.find("\r\n\r\n");
    ParsedRequest parsed;
    if (end == std::string_view::npos) {
        // Not HTTP at all: that need not be waited for.
        if (!bytes.empty() && !is_token(bytes.substr(0, 1))) return ParsedRequest{bad_request, {}};
        return std::nullopt;
    }
    std::string_view head = bytes.substr(0, end);
    bool names_host = false;
    parsed.refusal = parse_request_line(take_until(head, line_end), parsed.request, names_host);
    Seen seen;
    while (!parsed.refusal && !head.empty())
        parsed.refusal = parse_header(take_until(head, line_end), parsed.request, seen);
    if (!parsed.refusal && names_host && !seen.host) parsed.refusal = bad_request;
    return parsed;
}

bool wants_openmetrics(std::string_view accept) {
    double openmetrics = 0, text = 0;
    while (!accept.empty()) {
        std::string_view range = take_until(accept, ",");
        const std::string_view type = trimmed(take_until(range, ";"));
        if (same_word(type, "application/openmetrics-text"))
            openmetrics = std::max(openmetrics, quality_of(range));
        else if (same_word(type, "text/plain"))
            text = std::max(text, quality_of(range));
    }
    return openmetrics > 0 && openmetrics >= text;
}

}  // namespace tcptrail::serve
