// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/foreign_call.h"

#ifdef __x86_64__

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

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

}  // namespace

// The main thread waits in a system call most of the time: its instruction is the two bytes before.
int close_links(pid_t pid) {
    const auto links = links_of(pid);
    REQUIRE(ptrace(PTRACE_ATTACH, pid, nullptr, nullptr) == 0);
    wait_for_stop(pid);
    user_regs_struct saved{};
    REQUIRE(ptrace(PTRACE_GETREGS, pid, nullptr, &saved) == 0);
    const long code = ptrace(PTRACE_PEEKTEXT, pid, saved.rip - 2, nullptr);
    REQUIRE((code & 0xffff) == 0x050f);
    for (const int fd : links) {
        user_regs_struct call = saved;
        call.rip -= 2;
        call.rax = SYS_close;
        call.orig_rax = ~0ull;  // not to be restarted
        call.rdi = static_cast<unsigned long long>(fd);
        REQUIRE(ptrace(PTRACE_SETREGS, pid, nullptr, &call) == 0);
        REQUIRE(ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr) == 0);
        wait_for_stop(pid);
        REQUIRE(ptrace(PTRACE_GETREGS, pid, nullptr, &call) == 0);
        REQUIRE(call.rax == 0);
    }
    REQUIRE(ptrace(PTRACE_SETREGS, pid, nullptr, &saved) == 0);
    REQUIRE(ptrace(PTRACE_DETACH, pid, nullptr, nullptr) == 0);
    return static_cast<int>(links.size());
}

}  // namespace tests

#endif
