// SPDX-License-Identifier: Apache-2.0
//
// The log. Stages do not log; they return errors, and whoever decides what to do about one logs it.
//
//     log_error(events::spool_failed, error.message, {{"directory", directory}});
//
// The words are for people and may change. What programs tell messages apart by are the event and the fields.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"

namespace tcptrail {

namespace logging {

enum class Level { debug, info, warning, error };
// automatic: the journal where standard error is the journal's, text on a terminal, JSON elsewhere.
enum class Format { automatic, text, json };

// Which kind of message it is, and which part of the agent it is about. All others are in agent/log_events.h.
struct Event {
    std::string_view stage;
    std::string_view name;
};
inline constexpr Event messages_dropped{"agent", "messages_dropped"};

// One more fact: "name": value in JSON, TCPTRAIL_NAME=value in the journal. Text has it in its words, if
// anywhere. Small letters and "_" in the name; the first 200 bytes of a value are told.
struct Field {
    Field(std::string_view its_name, std::string_view text) : name(its_name), value(text) {}
    template <std::unsigned_integral T>
    Field(std::string_view its_name, T number)
        : name(its_name), value(std::to_string(number)), is_number(true) {}

    std::string_view name;
    std::string value;
    bool is_number = false;
};
using Fields = std::vector<Field>;  // four at most: a line is 4 KiB at most

}  // namespace logging

// Says what is logged from now on, and in which form; until then it is info, automatic.
void init_logging(logging::Level level, logging::Format format);

// From any thread. A message is one line in every form: control characters are escaped, bytes that are
// not UTF-8 read as U+FFFD, and what is longer than 3,000 bytes ends in "…". No call waits for who reads the
// log: what it does not take is dropped and counted, and the count is the first that it gets later.
void log_debug(const logging::Event& event, std::string_view message, logging::Fields fields = {});
void log_info(const logging::Event& event, std::string_view message, logging::Fields fields = {});
void log_warning(const logging::Event& event, std::string_view message, logging::Fields fields = {});
void log_error(const logging::Event& event, std::string_view message, logging::Fields fields = {});

// What the process ends with. In the journal it is a line of standard error, with its priority and without
// fields: journald cannot tell to which unit an entry belongs whose process is gone.
void log_last_error(const logging::Event& event, std::string_view message, logging::Fields fields = {});
// The same for commands: "tcptrail: message".
void tell_failure(std::string_view message);

// `text` as it would stand in the log.
std::string one_line(std::string_view text);

// `text` as a JSON string with its quotes.
std::string json_string(std::string_view text);

// Lets one message per interval through, so that what fails again and again does not flood the log. For one
// thread.
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

// log_error() through a limiter: "message (12 more like it were not logged)", and their number as the field
// "suppressed".
void log_error(LogLimiter& limiter, const logging::Event& event, std::string_view message,
               logging::Fields fields = {});

}  // namespace tcptrail
