// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/observer.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <regex>
#include <sstream>
#include <stdexcept>

#include "tests/kernel/sockets.h"

namespace tcptrail::test {

namespace {

// Loading the programs takes longest on slow guests.
constexpr int start_timeout_ms = 60'000;

// An open file that no folder names.
int nameless_file() {
    const int fd = open(P_tmpdir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0) throw std::runtime_error(std::string("file in " P_tmpdir ": ") + std::strerror(errno));
    return fd;
}

size_t size_of(int fd) {
    struct stat status{};
    fstat(fd, &status);
    return static_cast<size_t>(status.st_size);
}

// What a file holds from `offset` on. pread leaves the child's position alone.
std::string read_from(int fd, size_t offset) {
    std::string text;
    std::array<char, 65536> bytes;
    for (;;) {
        const ssize_t size = pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset + text.size()));
        if (size <= 0) return text;
        text.append(bytes.data(), static_cast<size_t>(size));
    }
}

}  // namespace

std::string binary() {
    const char* const configured = std::getenv("TCPTRAIL");
    return configured ? configured : "build/tcptrail";
}

Observer::Observer(const std::vector<std::string>& arguments, Privileges privileges)
    : output_(nameless_file()), errors_(nameless_file()) {
    start(arguments, privileges);
    constexpr const char* announcement = "tcptrail: tracing";
    for (int waited = 0;; waited += 10) {
        const std::string said = errors();
        const size_t at = said.find(announcement);
        if (const size_t end = said.find('\n', at); at != std::string::npos && end != std::string::npos) {
            tracing_line_ = said.substr(at, end - at);
            return;
        }
        const bool ended = waitpid(pid_, nullptr, WNOHANG) == pid_;
        if (ended || waited > start_timeout_ms) {
            if (!ended) {
                kill(pid_, SIGKILL);
                waitpid(pid_, nullptr, 0);
            }
            close(output_);
            close(errors_);
            throw std::runtime_error("the observer did not start: " + said);
        }
        sleep_ms(10);
    }
}

Observer::~Observer() {
    if (running()) {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    close(output_);
    close(errors_);
}

void Observer::start(const std::vector<std::string>& arguments, Privileges privileges) {
    std::vector<std::string> words{binary(), "observe", "-o", "jsonl"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words)
        argv.push_back(word.data());
    argv.push_back(nullptr);

    pid_ = fork();
    if (pid_ < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
    if (pid_ > 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    // A Ctrl-C for the test is not one for the observer: the test decides.
    setpgid(0, 0);
    dup2(output_, STDOUT_FILENO);
    dup2(errors_, STDERR_FILENO);
    const std::string complaint = words.front() + ": " + std::strerror(execute_as(privileges, argv)) + "\n";
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, complaint.data(), complaint.size());
    _exit(127);
}

std::string Observer::errors() const {
    return read_from(errors_, 0);
}

size_t Observer::end_of_lines() const {
    constexpr size_t longest_line = 65536;
    const size_t size = size_of(output_);
    const size_t from = size > longest_line ? size - longest_line : 0;
    const size_t last = read_from(output_, from).rfind('\n');
    return last == std::string::npos ? from : from + last + 1;
}

std::vector<std::string> Observer::lines_from(size_t& offset) const {
    std::vector<std::string> lines;
    if (size_of(output_) <= offset) return lines;
    std::string text = read_from(output_, offset);
    const size_t last = text.rfind('\n');
    if (last == std::string::npos) return lines;
    text.resize(last + 1);
    offset += text.size();
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);)
        lines.push_back(std::move(line));
    return lines;
}

void Observer::signal(int number) const {
    kill(pid_, number);
}

Summary Observer::stop(int number) {
    signal(number);
    return wait_end();
}

Summary Observer::wait_end(int timeout_ms) {
    int status = 0;
    for (int waited = 0; waitpid(pid_, &status, WNOHANG) != pid_; waited += 10) {
        if (waited > timeout_ms) throw std::runtime_error("the observer does not end: " + errors());
        sleep_ms(10);
    }
    pid_ = -1;
    Summary summary = parse_summary(errors());
    summary.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return summary;
}

Observer& shared_observer() {
    static std::unique_ptr<Observer> observer;
    if (observer == nullptr || !observer->running()) observer = std::make_unique<Observer>();
    return *observer;
}

Summary parse_summary(const std::string& errors) {
    static const std::regex form(
        R"(^tcptrail: seen (\d+) = told (\d+) \+ lost (\d+)(?: \(([^)]*)\))?(?:;.*)?$)");
    static const std::regex reason(R"((\S+) (\d+))");
    Summary summary;
    std::istringstream stream(errors);
    for (std::string line; std::getline(stream, line);) {
        std::smatch match;
        if (!std::regex_match(line, match, form)) continue;
        summary.line = line;
        summary.seen = std::stoull(match[1]);
        summary.told = std::stoull(match[2]);
        summary.lost = std::stoull(match[3]);
        const std::string reasons = match[4];
        for (std::sregex_iterator at(reasons.begin(), reasons.end(), reason), end; at != end; ++at) {
            summary.reasons[(*at)[1]] = std::stoull((*at)[2]);
        }
    }
    return summary;
}

}  // namespace tcptrail::test
