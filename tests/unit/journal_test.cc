// SPDX-License-Identifier: Apache-2.0
//
// The log in the journal of systemd: a datagram socket stands at journald's place, in a mount namespace.
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/fd.h"
#include "agent/base/log.h"
#include "tests/catch.h"

using namespace tcptrail;

namespace {

constexpr const char* place = "/run/systemd/journal/socket";
constexpr logging::Event event{"spool", "something"};
constexpr int cannot = 77;

// journald as one sees it who writes to it.
class Journald {
public:
    void start() {
        socket_.reset(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        sockaddr_un address{AF_UNIX, "/run/systemd/journal/socket"};
        if (bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) _exit(1);
    }
    void end() {
        socket_.reset();
        unlink(place);
    }
    // What was sent since.
    std::vector<std::string> entries() const {
        std::vector<std::string> all;
        std::string entry(1 << 16, '\0');
        for (ssize_t size; (size = recv(socket_.get(), entry.data(), entry.size(), 0)) >= 0;)
            all.emplace_back(entry, 0, static_cast<size_t>(size));
        return all;
    }

private:
    Fd socket_;
};

bool enter_namespace() {
    const int user = geteuid() == 0 ? 0 : CLONE_NEWUSER;
    return unshare(CLONE_NEWNS | user) == 0 &&
           mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           mount("none", "/run", "tmpfs", 0, nullptr) == 0 && mkdir("/run/systemd", 0755) == 0 &&
           mkdir("/run/systemd/journal", 0755) == 0;
}

void name_stream() {
    struct stat status{};
    fstat(STDERR_FILENO, &status);
    setenv("JOURNAL_STREAM", fmt::format("{}:{}", status.st_dev, status.st_ino).c_str(), 1);
}

// What `body` returns, and behind it what it writes to standard error, which systemd has named. It runs in a
// process of its own, with a mount namespace, without a journald at first. Empty where that cannot be.
std::string in_journal(const std::function<std::string(Journald&)>& body) {
    char path[] = "/tmp/tcptrail-journal-XXXXXX";
    const Fd file(mkstemp(path));
    REQUIRE(file.valid());
    unlink(path);
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    const Fd out(ends[0]);
    Fd in(ends[1]);
    const pid_t child = fork();
    if (child == 0) {
        alarm(30);
        dup2(file.get(), STDERR_FILENO);
        name_stream();
        if (!enter_namespace()) _exit(cannot);
        init_logging(logging::Level::debug, logging::Format::automatic);
        Journald journald;
        const std::string told = body(journald);
        _exit(write(in.get(), told.data(), told.size()) == static_cast<ssize_t>(told.size()) ? 0 : 1);
    }
    in.reset();
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == cannot) {
        WARN("skipped: no mount namespace can be made here");
        return {};
    }
    REQUIRE(status == 0);
    std::string text(1 << 16, '\0'), stream = text;
    text.resize(static_cast<size_t>(std::max<ssize_t>(0, read(out.get(), text.data(), text.size()))));
    stream.resize(
        static_cast<size_t>(std::max<ssize_t>(0, pread(file.get(), stream.data(), stream.size(), 0))));
    return text + "stream:\n" + stream;
}

std::string joined(const std::vector<std::string>& entries) {
    std::string all;
    for (const std::string& entry : entries)
        all += entry + "--\n";
    return all;
}

}  // namespace

TEST_CASE("journal: an entry has message, priority, event and fields") {
    const std::string told = in_journal([](Journald& journald) {
        journald.start();
        log_debug(event, "d");
        log_info(event, "i", {{"reason", "two\nlines=1"}, {"some_count", 7u}});
        log_warning(event, "w\nx");
        log_error({"transmit", "other"}, "e");
        return joined(journald.entries());
    });
    if (told.empty()) return;
    CHECK(told ==
          "MESSAGE=d\nPRIORITY=7\nSYSLOG_IDENTIFIER=tcptrail\nTCPTRAIL_STAGE=spool\n"
          "TCPTRAIL_EVENT=something\n--\n"
          "MESSAGE=i\nPRIORITY=6\nSYSLOG_IDENTIFIER=tcptrail\nTCPTRAIL_STAGE=spool\n"
          "TCPTRAIL_EVENT=something\nTCPTRAIL_REASON=two\\nlines=1\nTCPTRAIL_SOME_COUNT=7\n--\n"
          "MESSAGE=w\\nx\nPRIORITY=4\nSYSLOG_IDENTIFIER=tcptrail\nTCPTRAIL_STAGE=spool\n"
          "TCPTRAIL_EVENT=something\n--\n"
          "MESSAGE=e\nPRIORITY=3\nSYSLOG_IDENTIFIER=tcptrail\nTCPTRAIL_STAGE=transmit\n"
          "TCPTRAIL_EVENT=other\n--\n"
          "stream:\n");
}

TEST_CASE("journal: JSON where it is asked for, with its priority in front") {
    const std::string told = in_journal([](Journald& journald) {
        init_logging(logging::Level::info, logging::Format::json);
        journald.start();
        log_warning(event, "w", {{"reason", "none"}});
        return joined(journald.entries());
    });
    if (told.empty()) return;
    CHECK_THAT(told, Catch::Matchers::StartsWith("stream:\n<4>{\"time\":"));
    CHECK_THAT(told, Catch::Matchers::EndsWith("\"message\":\"w\",\"reason\":\"none\"}\n"));
}

TEST_CASE("journal: without journald's socket the stream has it, with its priority") {
    const std::string told = in_journal([](Journald& journald) {
        log_warning(event, "before\n", {{"reason", "none"}});
        journald.start();
        log_warning(event, "there");
        journald.end();
        log_error(event, "gone");
        // Another one, as after its restart.
        journald.start();
        log_info(event, "there again");
        return joined(journald.entries());
    });
    if (told.empty()) return;
    CHECK(told.find("MESSAGE=there\n") == std::string::npos);  // it ended with the first socket
    CHECK(told.starts_with("MESSAGE=there again\n"));
    CHECK(told.ends_with("stream:\n<4>before\\n\n<3>gone\n"));
}

TEST_CASE("journal: the last words of a process are the stream's") {
    const std::string told = in_journal([](Journald& journald) {
        journald.start();
        log_last_error(event, "the end", {{"exit_status", 78u}});
        tell_failure("of a command");
        return joined(journald.entries());
    });
    if (told.empty()) return;
    CHECK(told == "stream:\n<3>the end\n<3>tcptrail: of a command\n");
}

TEST_CASE("journal: a stuck journald stops nobody, and the dropped are counted") {
    const std::string told = in_journal([](Journald& journald) {
        journald.start();
        const uint64_t began = monotonic_nanos();
        for (int i = 0; i < 10'000; ++i)
            log_info(event, "x");
        const uint64_t took_ms = (monotonic_nanos() - began) / 1'000'000;
        const size_t taken = journald.entries().size();
        log_info(event, "here again");
        const auto later = journald.entries();
        return fmt::format("{} of 10000 taken, {} ms\n", taken > 0 && taken < 10'000 ? "some" : "not some",
                           took_ms < 5000 ? "few" : "many") +
               (later.size() == 2 && later[0].find(fmt::format("\nTCPTRAIL_COUNT={}\n", 10'000 - taken)) !=
                                         std::string::npos
                    ? "counted\n"
                    : "not counted\n") +
               joined(later);
    });
    if (told.empty()) return;
    CHECK(told.starts_with("some of 10000 taken, few ms\ncounted\n"));
    CHECK(told.find("TCPTRAIL_EVENT=messages_dropped\n") != std::string::npos);
    CHECK(told.find("MESSAGE=here again\n") != std::string::npos);
    CHECK(told.ends_with("stream:\n"));
}
