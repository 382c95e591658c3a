// SPDX-License-Identifier: Apache-2.0
//
// The log: one line per message on standard error. Stages do not log; they return errors, and whoever
// decides what to do about one logs it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/clock.h"

namespace tcptrail {

namespace logging {

enum class Level { debug, info, warning, error };
// automatic: text on a terminal and in the journal, JSON elsewhere.
enum class Format { automatic, text, json };

}  // namespace logging

// Says what is logged from now on, and in which form; until then it is info, automatic. Text reads
// "2026-01-31T12:00:00.123Z info message"; in the journal of systemd "<6>message", since the journal
// keeps time and priority itself.
void init_logging(logging::Level level, logging::Format format);

// From any thread. A message is one line in every form: control characters are escaped, bytes that are
// not UTF-8 read as U+FFFD.
void log_debug(std::string_view message);
void log_info(std::string_view message);
void log_warning(std::string_view message);
void log_error(std::string_view message);

// `text` as it would stand in the log.
std::string one_line(std::string_view text);

// `text` as a JSON string with its quotes.
std::string json_string(std::string_view text);

// Lets one message per interval through, so that what fails again and again does not flood the log:
//
//     if (auto suppressed = limiter.pass()) log_warning(with_suppressed(error.message, *suppressed));
//
// For one thread.
class LogLimiter {
public:
    explicit LogLimiter(uint64_t interval_nanos) : interval_nanos_(interval_nanos) {}

    // Whether a message may be logged now, and how many were suppressed since the one before.
    std::optional<uint64_t> pass(uint64_t now_nanos = monotonic_nanos());

private:
    uint64_t interval_nanos_;
    std::optional<uint64_t> passed_nanos_;  // when the last one passed
    uint64_t suppressed_ = 0;
};

// "message (12 more like it were not logged)"; the bare message if there were none.
std::string with_suppressed(std::string_view message, uint64_t suppressed);

}  // namespace tcptrail
