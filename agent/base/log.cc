// SPDX-License-Identifier: Apache-2.0
#include "agent/base/log.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "agent/base/journal.h"
#include "agent/base/log_forms.h"
#include "agent/base/mutex.h"

namespace tcptrail {

namespace {

using logging::Event;
using logging::Fields;
using logging::Format;
using logging::Level;
using logging::Message;

enum class Form { text, json, journal, journal_json };

// A pipe that is writable takes PIPE_BUF bytes without waiting, a socket more than that, a file always.
bool write_now(const std::string& line) {
    pollfd standard_error{STDERR_FILENO, POLLOUT, 0};
    if (poll(&standard_error, 1, 0) != 1 || !(standard_error.revents & POLLOUT)) return false;
    return write(STDERR_FILENO, line.data(), line.size()) == static_cast<ssize_t>(line.size());
}

Form choose_form(Format format) {
    if (is_journal_stderr()) return format == Format::json ? Form::journal_json : Form::journal;
    if (format == Format::json) return Form::json;
    return format == Format::text || isatty(STDERR_FILENO) == 1 ? Form::text : Form::json;
}

class Log {
public:
    void configure(Level level, Format format) {
        const MutexLock lock(mutex_);
        level_ = level;
        form_ = choose_form(format);
    }

    void write(Level level, const Event& event, std::string_view text, const Fields& fields, bool is_last) {
        const MutexLock lock(mutex_);
        if (level < level_) return;
        if (dropped_ > 0) {
            const std::string told = fmt::format(
                "{} messages before this one were dropped, as who reads the log took none: see what keeps it "
                "busy",
                dropped_);
            if (put({Level::warning, logging::messages_dropped, told, {{"count", dropped_}}, unix_nanos()},
                    is_last))
                dropped_ = 0;
        }
        if (!put({level, event, text, fields, unix_nanos()}, is_last)) ++dropped_;
    }

private:
    bool put(const Message& message, bool is_last) NEEDS_LOCK(mutex_) {
        if (form_ == Form::text) return write_now(as_text(message));
        if (form_ == Form::json) return write_now(as_json(message));
        if (form_ == Form::journal_json) return write_now(as_json_stream(message));
        if (is_last) return write_now(as_stream(message));
        const auto outcome = journal_.send(as_entry(message));
        return outcome == JournalSocket::Outcome::sent ||
               (outcome == JournalSocket::Outcome::absent && write_now(as_stream(message)));
    }

    Mutex mutex_;
    Level level_ GUARDED_BY(mutex_) = Level::info;
    Form form_ GUARDED_BY(mutex_) = choose_form(Format::automatic);
    JournalSocket journal_ GUARDED_BY(mutex_);
    uint64_t dropped_ GUARDED_BY(mutex_) = 0;  // since the last one that was taken
};

Log& the_log() {
    static Log log;
    return log;
}

}  // namespace

void init_logging(Level level, Format format) {
    the_log().configure(level, format);
}

void log_debug(const Event& event, std::string_view message, Fields fields) {
    the_log().write(Level::debug, event, message, fields, false);
}
void log_info(const Event& event, std::string_view message, Fields fields) {
    the_log().write(Level::info, event, message, fields, false);
}
void log_warning(const Event& event, std::string_view message, Fields fields) {
    the_log().write(Level::warning, event, message, fields, false);
}
void log_error(const Event& event, std::string_view message, Fields fields) {
    the_log().write(Level::error, event, message, fields, false);
}
void log_last_error(const Event& event, std::string_view message, Fields fields) {
    the_log().write(Level::error, event, message, fields, true);
}

void tell_failure(std::string_view message) {
    fmt::print(stderr, "{}tcptrail: {}\n", is_journal_stderr() ? "<3>" : "", message);
}

std::optional<uint64_t> LogLimiter::pass(uint64_t now_nanos) {
    if (passed_nanos_ && now_nanos - *passed_nanos_ < interval_nanos_) {
        suppressed_++;
        return std::nullopt;
    }
    passed_nanos_ = now_nanos;
    return std::exchange(suppressed_, 0);
}

void log_error(LogLimiter& limiter, const Event& event, std::string_view message, Fields fields) {
    const auto suppressed = limiter.pass();
    if (!suppressed) return;
    if (*suppressed == 0) return log_error(event, message, std::move(fields));
    fields.emplace_back("suppressed", *suppressed);
    log_error(event,
              fmt::format("{} ({} more like it {} not logged)", message, *suppressed,
                          *suppressed == 1 ? "was" : "were"),
              std::move(fields));
}

}  // namespace tcptrail
