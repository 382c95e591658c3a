// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/foreign_call.h"

#ifdef __x86_64__

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/catch.h"

namespace tests {

namespace {

namespace fs = std::filesystem;

std::vector<int> links_of(pid_t pid) {
    std::vector<int> links;
    const std::string proc = "/proc/" + std::to_string(pid);
    for (const auto& entry : fs::directory_iterator(proc + "/fd")) {
        std::error_code gone;
        if (fs::read_symlink(entry.path(), gone).native().find("bpf") == std::string::npos) continue;
        const std::string number = entry.path().filename();
        std::ifstream info(proc + "/fdinfo/" + number);
        const std::string text{std::istreambuf_iterator<char>(info), {}};
        if (text.find("raw_tracepoint") != std::string::npos) links.push_back(std::stoi(number));
    }
    return links;
}

void wait_for_stop(pid_t pid) {
    int status = 0;
    REQUIRE(waitpid(pid, &status, __WALL) == pid);
    REQUIRE(WIFSTOPPED(status));
}

// What a process has in its registers, and puts back.
class Stopped {
public:
    explicit Stopped(pid_t pid) : pid_(pid) {
        REQUIRE(ptrace(PTRACE_ATTACH, pid_, nullptr, nullptr) == 0);
        wait_for_stop(pid_);
        REQUIRE(ptrace(PTRACE_GETREGS, pid_, nullptr, &saved_) == 0);
        // The main thread waits in a system call most of the time: its instruction is the two bytes before.
        const long code = ptrace(PTRACE_PEEKTEXT, pid_, saved_.rip - 2, nullptr);
        REQUIRE((code & 0xffff) == 0x050f);
    }

    unsigned long long call(unsigned long long number, int first, int second = 0) {
        user_regs_struct call = saved_;
        call.rip -= 2;
        call.rax = number;
        call.orig_rax = ~0ull;  // not to be restarted
        call.rdi = static_cast<unsigned long long>(first);
        call.rsi = static_cast<unsigned long long>(second);
        REQUIRE(ptrace(PTRACE_SETREGS, pid_, nullptr, &call) == 0);
        REQUIRE(ptrace(PTRACE_SINGLESTEP, pid_, nullptr, nullptr) == 0);
        wait_for_stop(pid_);
        REQUIRE(ptrace(PTRACE_GETREGS, pid_, nullptr, &call) == 0);
        return call.rax;
    }

    void go_on() {
        REQUIRE(ptrace(PTRACE_SETREGS, pid_, nullptr, &saved_) == 0);
        REQUIRE(ptrace(PTRACE_DETACH, pid_, nullptr, nullptr) == 0);
    }

private:
    pid_t pid_;
    user_regs_struct saved_{};
};

}  // namespace

int close_links(pid_t pid) {
    const auto links = links_of(pid);
    Stopped process(pid);
    for (const int fd : links)
        REQUIRE(process.call(SYS_close, fd) == 0);
    process.go_on();
    return static_cast<int>(links.size());
}

std::vector<int> take_links(pid_t pid) {
    const auto links = links_of(pid);
    Stopped process(pid);
    for (const int fd : links)
        REQUIRE(process.call(SYS_dup2, STDERR_FILENO, fd) == static_cast<unsigned long long>(fd));
    // Heard before its next heartbeat looks.
    REQUIRE(kill(pid, SIGHUP) == 0);
    process.go_on();
    return links;
}

}  // namespace tests

#endif
