// SPDX-License-Identifier: Apache-2.0
#include "agent/base/log.h"

#include <fmt/format.h>
#include <spdlog/formatter.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <utility>

#include "agent/base/utf8.h"

namespace tcptrail {

namespace {

using Buffer = spdlog::memory_buf_t;

enum class Style { text, journal, json };

struct LevelName {
    std::string_view name;
    int priority;  // of syslog, as the journal takes it
};

LevelName describe(spdlog::level::level_enum level) {
    switch (level) {
        case spdlog::level::trace:
        case spdlog::level::debug:
            return {"debug", 7};
        case spdlog::level::info:
            return {"info", 6};
        case spdlog::level::warn:
            return {"warning", 4};
        default:
            return {"error", 3};
    }
}

spdlog::level::level_enum to_spdlog(logging::Level level) {
    switch (level) {
        case logging::Level::debug:
            return spdlog::level::debug;
        case logging::Level::info:
            return spdlog::level::info;
        case logging::Level::warning:
            return spdlog::level::warn;
        case logging::Level::error:
            break;
    }
    return spdlog::level::err;
}

// Control characters as \n or \u001b, as JSON writes them. The ones of U+0080 to U+009F too: a terminal obeys
// them.
template <class Out>
void append_escaped(Out out, std::string_view text, bool json) {
    while (!text.empty()) {
        const size_t length = utf8_sequence(text);
        const auto byte = static_cast<unsigned char>(text[0]);
        if (length == 0) {
            fmt::format_to(out, "\uFFFD");
        } else if (byte == '\n') {
            fmt::format_to(out, "\\n");
        } else if (byte == '\r') {
            fmt::format_to(out, "\\r");
        } else if (byte == '\t') {
            fmt::format_to(out, "\\t");
        } else if (byte < 0x20 || byte == 0x7f) {
            fmt::format_to(out, "\\u{:04x}", byte);
        } else if (byte == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0) {
            fmt::format_to(out, "\\u{:04x}", static_cast<unsigned char>(text[1]));
        } else if (json && (byte == '"' || byte == '\\')) {
            fmt::format_to(out, "\\{}", text[0]);
        } else {
            fmt::format_to(out, "{}", text.substr(0, length));
        }
        text.remove_prefix(length == 0 ? 1 : length);
    }
}

// RFC 3339 in UTC with milliseconds.
void append_time(Buffer& out, spdlog::log_clock::time_point time) {
    using std::chrono::duration_cast;
    const auto millis = duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
    const auto seconds = static_cast<time_t>(millis / 1000);
    tm utc{};
    gmtime_r(&seconds, &utc);
    fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                   utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, millis % 1000);
}

class LineFormatter : public spdlog::formatter {
public:
    explicit LineFormatter(Style style) : style_(style) {}

    void format(const spdlog::details::log_msg& message, Buffer& out) override {
        const LevelName level = describe(message.level);
        const std::string_view text(message.payload.data(), message.payload.size());
        const auto end = std::back_inserter(out);
        if (style_ == Style::json) {
            fmt::format_to(end, R"({{"time":")");
            append_time(out, message.time);
            fmt::format_to(end, R"(","level":"{}","message":")", level.name);
            append_escaped(end, text, true);
            fmt::format_to(end, "\"}}\n");
            return;
        }
        if (style_ == Style::journal) {
            fmt::format_to(end, "<{}>", level.priority);
        } else {
            append_time(out, message.time);
            fmt::format_to(end, " {} ", level.name);
        }
        append_escaped(end, text, false);
        fmt::format_to(end, "\n");
    }

    std::unique_ptr<spdlog::formatter> clone() const override {
        return std::make_unique<LineFormatter>(style_);
    }

private:
    Style style_;
};

// systemd names the stream that it reads; standard error may have been redirected since.
bool writes_to_journal() {
    const char* stream = std::getenv("JOURNAL_STREAM");
    struct stat status{};
    if (stream == nullptr || fstat(STDERR_FILENO, &status) != 0) return false;
    return fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

Style choose_style(logging::Format format) {
    if (format == logging::Format::json) return Style::json;
    if (writes_to_journal()) return Style::journal;
    if (format == logging::Format::text || isatty(STDERR_FILENO) == 1) return Style::text;
    return Style::json;
}

spdlog::logger make_logger() {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    sink->set_formatter(std::make_unique<LineFormatter>(choose_style(logging::Format::automatic)));
    return {"tcptrail", std::move(sink)};
}

spdlog::logger& logger() {
    static spdlog::logger instance = make_logger();
    return instance;
}

void log(logging::Level level, std::string_view message) {
    logger().log(to_spdlog(level), spdlog::string_view_t(message.data(), message.size()));
}

}  // namespace

void init_logging(logging::Level level, logging::Format format) {
    logger().set_formatter(std::make_unique<LineFormatter>(choose_style(format)));
    logger().set_level(to_spdlog(level));
}

void log_debug(std::string_view message) {
    log(logging::Level::debug, message);
}
void log_info(std::string_view message) {
    log(logging::Level::info, message);
}
void log_warning(std::string_view message) {
    log(logging::Level::warning, message);
}
void log_error(std::string_view message) {
    log(logging::Level::error, message);
}

std::string one_line(std::string_view text) {
    std::string out;
    append_escaped(std::back_inserter(out), text, false);
    return out;
}

std::string json_string(std::string_view text) {
    std::string out = "\"";
    append_escaped(std::back_inserter(out), text, true);
    return out += '"';
}

std::optional<uint64_t> LogLimiter::pass(uint64_t now_nanos) {
    if (passed_nanos_ && now_nanos - *passed_nanos_ < interval_nanos_) {
        suppressed_++;
        return std::nullopt;
    }
    passed_nanos_ = now_nanos;
    return std::exchange(suppressed_, 0);
}

std::string with_suppressed(std::string_view message, uint64_t suppressed) {
    if (suppressed == 0) return std::string(message);
    return fmt::format("{} ({} more like it {} not logged)", message, suppressed,
                       suppressed == 1 ? "was" : "were");
}

}  // namespace tcptrail
