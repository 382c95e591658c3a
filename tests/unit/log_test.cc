// SPDX-License-Identifier: Apache-2.0
#include "agent/base/log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/base/fd.h"
#include "agent/base/utf8.h"
#include "tests/catch.h"

using namespace tcptrail;

namespace {

// What `body` writes to standard error. `before` runs once standard error is a file, which it is given.
std::string captured(const std::function<void()>& body, const std::function<void(int)>& before = {}) {
    char path[] = "/tmp/tcptrail-log-XXXXXX";
    const Fd file(mkstemp(path));
    REQUIRE(file.valid());
    unlink(path);
    const Fd saved(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
    dup2(file.get(), STDERR_FILENO);
    if (before) before(file.get());
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

TEST_CASE("log: lines of JSON, from the level on") {
    const std::string text = captured([] {
        init_logging(logging::Level::warning, logging::Format::json);
        log_debug("no");
        log_info("no");
        log_warning("two\nlines");
        log_error("bad \xff \"byte\"");
    });
    const size_t end = text.find('\n');
    REQUIRE(end != std::string::npos);
    CHECK(shape(text.substr(0, end)) ==
          R"({"time":"9999-99-99T99:99:99.999Z","level":"warning","message":"two\nlines"})");
    const auto second_line = nlohmann::json::parse(text.substr(end + 1));
    CHECK(second_line["level"] == "error");
    CHECK(second_line["message"] == "bad \uFFFD \"byte\"");
    CHECK(std::count(text.begin(), text.end(), '\n') == 2);
}

TEST_CASE("log: a line of text") {
    const std::string text = captured([] {
        init_logging(logging::Level::debug, logging::Format::text);
        log_debug("a \"b\" \x1b[31m\nc");
    });
    CHECK(shape(text) == "9999-99-99T99:99:99.999Z debug a \"b\" \\u999b[99m\\nc\n");
}

TEST_CASE("log: automatic is JSON in a file, and text with priorities in the journal") {
    const auto body = [] {
        init_logging(logging::Level::debug, logging::Format::automatic);
        log_debug("d");
        log_info("i");
        log_warning("w\nx");
        log_error("e");
    };
    unsetenv("JOURNAL_STREAM");
    CHECK(captured(body).starts_with("{\"time\":"));

    const auto name_stream = [](unsigned long add, int fd) {
        struct stat status{};
        fstat(fd, &status);
        setenv("JOURNAL_STREAM", fmt::format("{}:{}", status.st_dev, status.st_ino + add).c_str(), 1);
    };
    CHECK(captured(body, [&](int fd) { name_stream(0, fd); }) == "<7>d\n<6>i\n<4>w\\nx\n<3>e\n");
    // Standard error was redirected: it is not the stream that systemd named.
    CHECK(captured(body, [&](int fd) { name_stream(1, fd); }).starts_with("{\"time\":"));
    unsetenv("JOURNAL_STREAM");
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
    CHECK(with_suppressed("m", 0) == "m");
    CHECK(with_suppressed("m", 1) == "m (1 more like it was not logged)");
    CHECK(with_suppressed("m", 12) == "m (12 more like it were not logged)");
}
