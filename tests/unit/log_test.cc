// SPDX-License-Identifier: Apache-2.0
#include "agent/base/log.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "agent/base/fd.h"
#include "agent/base/utf8.h"
#include "tests/catch.h"

using namespace tcptrail;

namespace {

// What `body` writes to standard error, which is a file meanwhile.
std::string captured(const std::function<void()>& body) {
    char path[] = "/tmp/tcptrail-log-XXXXXX";
    const Fd file(mkstemp(path));
    REQUIRE(file.valid());
    unlink(path);
    const Fd saved(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
    dup2(file.get(), STDERR_FILENO);
    body();
    dup2(saved.get(), STDERR_FILENO);
    init_logging(logging::Level::info, logging::Format::automatic);

    std::string text(65536, '\0');
    const ssize_t size = pread(file.get(), text.data(), text.size(), 0);
    REQUIRE(size >= 0);
    text.resize(static_cast<size_t>(size));
    return text;
}

// Each digit as 9, to compare what has a time in it.
std::string shape(std::string text) {
    std::replace_if(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }, '9');
    return text;
}

constexpr uint64_t second = 1'000'000'000;

}  // namespace

TEST_CASE("log: JSON is well-formed whatever the message holds") {
    CHECK(json_string("") == "\"\"");
    CHECK(json_string("plain é 漢 🙂") == "\"plain é 漢 🙂\"");
    CHECK(json_string("a\"b\\c/d") == R"("a\"b\\c/d")");
    CHECK(json_string("\n\r\t\b\x01\x1f\x7f") == R"("\n\r\t\u0008\u0001\u001f\u007f")");
    CHECK(json_string(std::string("a\0b", 3)) == R"("a\u0000b")");
    CHECK(json_string("\xc2\x9b") == R"("\u009b")");
    // Not UTF-8: a lone byte, an overlong form, a surrogate, beyond U+10FFFF, cut short.
    CHECK(json_string("a\xff z") == "\"a\uFFFD z\"");
    CHECK(json_string("\xc0\xaf") == "\"\uFFFD\uFFFD\"");
    CHECK(json_string("\xed\xa0\x80") == "\"\uFFFD\uFFFD\uFFFD\"");
    CHECK(json_string("\xf4\x90\x80\x80") == "\"\uFFFD\uFFFD\uFFFD\uFFFD\"");
    CHECK(json_string("\xe6\xbc") == "\"\uFFFD\uFFFD\"");

    std::string bytes;
    for (int i = 0; i < 256; i++)
        bytes += static_cast<char>(i);
    const auto parsed = nlohmann::json::parse(json_string(bytes));
    CHECK(parsed.get<std::string>().substr(0, 128) == bytes.substr(0, 128));
}

TEST_CASE("utf8: the length of a sequence") {
    CHECK(utf8_sequence("") == 0);
    CHECK(utf8_sequence("ab") == 1);
    CHECK(utf8_sequence(std::string_view("\0", 1)) == 1);
    CHECK(utf8_sequence("é") == 2);
    CHECK(utf8_sequence("漢") == 3);
    CHECK(utf8_sequence("🙂") == 4);
    CHECK(utf8_sequence("\xed\x9f\xbf") == 3);      // U+D7FF
    CHECK(utf8_sequence("\xed\xa0\x80") == 0);      // U+D800
    CHECK(utf8_sequence("\xe0\x9f\xbf") == 0);      // overlong
    CHECK(utf8_sequence("\xf0\x8f\xbf\xbf") == 0);  // overlong
    CHECK(utf8_sequence("\xf4\x8f\xbf\xbf") == 4);  // U+10FFFF
    CHECK(utf8_sequence("\xf5\x80\x80\x80") == 0);
    CHECK(utf8_sequence("\xe6\xbc") == 0);
    CHECK(utf8_sequence("\x80") == 0);
}

constexpr logging::Event event{"spool", "something"};

TEST_CASE("log: lines of JSON, from the level on") {
    const std::string text = captured([] {
        init_logging(logging::Level::warning, logging::Format::json);
        log_debug(event, "no");
        log_info(event, "no");
        log_warning(event, "two\nlines");
        log_error(event, "bad \xff \"byte\"", {{"reason", "\"a\""}, {"count", 7u}});
    });
    const size_t end = text.find('\n');
    REQUIRE(end != std::string::npos);
    CHECK(
        shape(text.substr(0, end)) ==
        R"({"time":"9999-99-99T99:99:99.999Z","level":"warning","stage":"spool","event":"something","message":"two\nlines"})");
    const auto second_line = nlohmann::json::parse(text.substr(end + 1));
    CHECK(second_line["level"] == "error");
    CHECK(second_line["message"] == "bad \uFFFD \"byte\"");
    CHECK(second_line["reason"] == "\"a\"");
    CHECK(second_line["count"] == 7);
    CHECK(std::count(text.begin(), text.end(), '\n') == 2);
}

TEST_CASE("log: a line of text") {
    const std::string text = captured([] {
        init_logging(logging::Level::debug, logging::Format::text);
        log_debug(event, "a \"b\" \x1b[31m\nc", {{"reason", "told by the words"}});
    });
    CHECK(shape(text) == "9999-99-99T99:99:99.999Z debug a \"b\" \\u999b[99m\\nc\n");
}

TEST_CASE("log: a line takes what a pipe takes at once, and no more") {
    const std::string text = captured([] {
        init_logging(logging::Level::info, logging::Format::json);
        const std::string much(100'000, '"');
        log_info(event, much, {{"a", much}, {"b", much}, {"c", much}, {"d", much}});
    });
    CHECK(text.size() > 3000);
    CHECK(text.size() <= PIPE_BUF);
    const auto parsed = nlohmann::json::parse(text);
    CHECK(parsed["message"].get<std::string>().ends_with("\"\"…"));
    CHECK(parsed["d"].get<std::string>().ends_with("\"\"…"));
}

TEST_CASE("log: automatic is JSON in a file") {
    const auto body = [] {
        init_logging(logging::Level::info, logging::Format::automatic);
        log_info(event, "i");
    };
    unsetenv("JOURNAL_STREAM");
    CHECK(captured(body).starts_with("{\"time\":"));
    // Standard error was redirected: it is not the stream that systemd named.
    setenv("JOURNAL_STREAM", "1:1", 1);
    CHECK(captured(body).starts_with("{\"time\":"));
    unsetenv("JOURNAL_STREAM");
}

TEST_CASE("log: nobody reads the pipe, then somebody does") {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const Fd out(ends[0]), in(ends[1]);
    const Fd saved(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
    dup2(in.get(), STDERR_FILENO);
    init_logging(logging::Level::info, logging::Format::json);
    const std::string text(1000, 'x');
    for (int i = 0; i < 1000; ++i)
        log_info(event, text);  // 64 KiB fit: the others do not wait
    std::string told(1 << 17, '\0');
    told.resize(static_cast<size_t>(read(out.get(), told.data(), told.size())));
    const auto taken = static_cast<uint64_t>(std::count(told.begin(), told.end(), '\n'));
    log_info(event, "here again");
    told.resize(1 << 17);
    told.resize(static_cast<size_t>(read(out.get(), told.data(), told.size())));
    dup2(saved.get(), STDERR_FILENO);
    init_logging(logging::Level::info, logging::Format::automatic);

    CHECK(taken > 10);
    CHECK(taken < 100);
    const auto dropped = nlohmann::json::parse(told.substr(0, told.find('\n')));
    CHECK(dropped["event"] == "messages_dropped");
    CHECK(dropped["count"] == 1000 - taken);
    CHECK(told.find("here again") != std::string::npos);
}

TEST_CASE("log: the limiter lets one message per interval through and counts the others") {
    LogLimiter limiter(10 * second);
    CHECK(limiter.pass(100 * second) == 0);
    CHECK(limiter.pass(100 * second) == std::nullopt);
    CHECK(limiter.pass(109 * second) == std::nullopt);
    CHECK(limiter.pass(110 * second) == 2);
    CHECK(limiter.pass(111 * second) == std::nullopt);
    CHECK(limiter.pass(200 * second) == 1);
    CHECK(limiter.pass(300 * second) == 0);

    LogLimiter from_zero(10 * second);
    CHECK(from_zero.pass(0) == 0);
    CHECK(from_zero.pass(1) == std::nullopt);
}

TEST_CASE("log: how many were suppressed") {
    const std::string text = captured([] {
        init_logging(logging::Level::info, logging::Format::text);
        LogLimiter none(0), hour(3600 * second);
        log_error(none, event, "a");
        log_error(none, event, "b");
        log_error(hour, event, "c");
        log_error(hour, event, "d");
        LogLimiter moment(second / 10);
        log_error(moment, event, "e");
        log_error(moment, event, "f");
        std::this_thread::sleep_for(std::chrono::milliseconds(110));
        log_error(moment, event, "g");
    });
    CHECK(shape(text) ==
          "9999-99-99T99:99:99.999Z error a\n"
          "9999-99-99T99:99:99.999Z error b\n"
          "9999-99-99T99:99:99.999Z error c\n"
          "9999-99-99T99:99:99.999Z error e\n"
          "9999-99-99T99:99:99.999Z error g (9 more like it was not logged)\n");
}
