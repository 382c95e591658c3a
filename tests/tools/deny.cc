// SPDX-License-Identifier: Apache-2.0
//
// Runs a command for which the kernel refuses some system calls, as a seccomp profile of a container does:
//
//   deny ERRNO SYSCALL[,SYSCALL…] COMMAND…       deny EPERM bpf build/tcptrail check
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr std::pair<const char*, uint32_t> calls[] = {
    {"bpf", SYS_bpf},       {"perf_event_open", SYS_perf_event_open},
    {"clone3", SYS_clone3}, {"clone", SYS_clone},
#ifdef SYS_link
    {"link", SYS_link},
#endif
    {"linkat", SYS_linkat},
};

constexpr std::pair<const char*, uint32_t> errors[] = {
    {"EPERM", EPERM},
    {"EACCES", EACCES},
    {"ENOSYS", ENOSYS},
    {"EAGAIN", EAGAIN},
};

template <size_t size>
uint32_t number_of(const std::pair<const char*, uint32_t> (&names)[size], const std::string& wanted) {
    for (const auto& [name, number] : names)
        if (wanted == name) return number;
    std::fprintf(stderr, "deny: %s is not known\n", wanted.c_str());
    _exit(2);
}

std::vector<sock_filter> filter_of(const std::string& error, const std::string& names) {
    std::vector<sock_filter> filter{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
    std::istringstream list(names);
    for (std::string name; std::getline(list, name, ',');) {
        filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number_of(calls, name), 0, 1));
        filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | number_of(errors, error)));
    }
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    return filter;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) {
        std::fprintf(stderr, "usage: deny ERRNO SYSCALL[,SYSCALL…] COMMAND…\n");
        return 2;
    }
    std::vector<sock_filter> filter = filter_of(argv[1], argv[2]);
    const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
    // Not no_new_privs: root need not give up anything to set a filter.
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        std::perror("deny: seccomp");
        return 1;
    }
    execv(argv[3], argv + 3);
    std::perror(argv[3]);
    return 127;
}
