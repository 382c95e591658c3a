// SPDX-License-Identifier: Apache-2.0
#include "agent/base/log_forms.h"

#include <fmt/format.h>
#include <time.h>

#include <cctype>

#include "agent/base/utf8.h"

namespace tcptrail {

namespace {

// So that a line with four fields fits into what a pipe takes at once (PIPE_BUF).
constexpr size_t max_text_bytes = 3000;
constexpr size_t max_value_bytes = 200;

// Control characters as \n or \u001b, as JSON writes them. The ones of U+0080 to U+009F too: a terminal obeys
// them. `json`: quotes and backslashes as well. Ends in "…" before it is longer than `limit`.
std::string escaped(std::string_view text, bool json, size_t limit = std::string_view::npos) {
    std::string out;
    while (!text.empty()) {
        const size_t length = utf8_sequence(text);
        const auto byte = static_cast<unsigned char>(text[0]);
        const size_t before = out.size();
        if (length == 0)
            out += "\uFFFD";
        else if (byte == '\n')
            out += "\\n";
        else if (byte == '\r')
            out += "\\r";
        else if (byte == '\t')
            out += "\\t";
        else if (byte < 0x20 || byte == 0x7f)
            out += fmt::format("\\u{:04x}", byte);
        else if (byte == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0)
            out += fmt::format("\\u{:04x}", static_cast<unsigned char>(text[1]));
        else if (json && (byte == '"' || byte == '\\'))
            (out += '\\') += text[0];
        else
            out += text.substr(0, length);
        if (out.size() > limit) {
            out.resize(before);
            return out += "…";
        }
        text.remove_prefix(length == 0 ? 1 : length);
    }
    return out;
}

std::string_view name_of(logging::Level level) {
    switch (level) {
        case logging::Level::debug:
            return "debug";
        case logging::Level::info:
            return "info";
        case logging::Level::warning:
            return "warning";
        case logging::Level::error:
            break;
    }
    return "error";
}

// Of syslog.
int priority_of(logging::Level level) {
    switch (level) {
        case logging::Level::debug:
            return 7;
        case logging::Level::info:
            return 6;
        case logging::Level::warning:
            return 4;
        case logging::Level::error:
            break;
    }
    return 3;
}

// RFC 3339 in UTC with milliseconds.
std::string time_of(uint64_t unix_nanos) {
    const auto seconds = static_cast<time_t>(unix_nanos / 1'000'000'000);
    tm utc{};
    gmtime_r(&seconds, &utc);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                       utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, unix_nanos / 1'000'000 % 1000);
}

std::string key_of(std::string_view name) {
    std::string key = "TCPTRAIL_";
    for (const char c : name)
        key += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return key;
}

}  // namespace

std::string one_line(std::string_view text) {
    return escaped(text, false);
}

std::string json_string(std::string_view text) {
    return '"' + escaped(text, true) + '"';
}

namespace logging {

std::string as_text(const Message& message) {
    return fmt::format("{} {} {}\n", time_of(message.unix_nanos), name_of(message.level),
                       escaped(message.text, false, max_text_bytes));
}

std::string as_json(const Message& message) {
    std::string line = fmt::format(R"({{"time":"{}","level":"{}","stage":"{}","event":"{}","message":"{}")",
                                   time_of(message.unix_nanos), name_of(message.level), message.event.stage,
                                   message.event.name, escaped(message.text, true, max_text_bytes));
    for (const Field& field : message.fields)
        line += field.is_number
                    ? fmt::format(R"(,"{}":{})", field.name, field.value)
                    : fmt::format(R"(,"{}":"{}")", field.name, escaped(field.value, true, max_value_bytes));
    return line += "}\n";
}

std::string as_stream(const Message& message) {
    return fmt::format("<{}>{}\n", priority_of(message.level), escaped(message.text, false, max_text_bytes));
}

std::string as_json_stream(const Message& message) {
    return fmt::format("<{}>{}", priority_of(message.level), as_json(message));
}

// No value has a line feed, so none needs the protocol's form for values that do.
std::string as_entry(const Message& message) {
    std::string entry = fmt::format(
        "MESSAGE={}\nPRIORITY={}\nSYSLOG_IDENTIFIER=tcptrail\nTCPTRAIL_STAGE={}\nTCPTRAIL_EVENT={}\n",
        escaped(message.text, false, max_text_bytes), priority_of(message.level), message.event.stage,
        message.event.name);
    for (const Field& field : message.fields)
        entry += fmt::format("{}={}\n", key_of(field.name), escaped(field.value, false, max_value_bytes));
    return entry;
}

}  // namespace logging

}  // namespace tcptrail
