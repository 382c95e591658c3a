// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/cgroup.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace tcptrail::test {

namespace {

namespace fs = std::filesystem;

int bpf(bpf_cmd command, bpf_attr& attributes) {
    return static_cast<int>(syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

[[noreturn]] void fail_errno(const std::string& what) {
    throw std::runtime_error(what + ": " + std::strerror(errno));
}

}  // namespace

std::string cgroup_mount() {
    std::ifstream mounts("/proc/self/mounts");
    for (std::string line; std::getline(mounts, line);) {
        std::istringstream words(line);
        std::string device;
        std::string folder;
        std::string type;
        words >> device >> folder >> type;
        if (type == "cgroup2") return folder;
    }
    return "";
}

CgroupFolder::CgroupFolder(const std::string& name) {
    const std::string mount = cgroup_mount();
    if (mount.empty()) throw std::runtime_error("cgroup v2 is not mounted");
    // As systemd would call it, so that what is below can be a unit.
    top_ = mount + "/tcptrail_test_" + std::to_string(getpid()) + ".slice";
    path_ = top_ + "/" + name;
    std::error_code error;
    fs::create_directories(path_, error);
    if (error) throw std::runtime_error(path_ + ": " + error.message());
}

// Only rmdir works on a cgroup: its files cannot be removed.
CgroupFolder::~CgroupFolder() {
    for (fs::path folder = path_;; folder = folder.parent_path()) {
        rmdir(folder.c_str());
        if (folder == top_) return;
    }
}

void CgroupFolder::deny_connect4() const {
    const std::array<bpf_insn, 2> denial{
        bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = 0},
        bpf_insn{.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
    bpf_attr load{};
    load.prog_type = BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
    load.expected_attach_type = BPF_CGROUP_INET4_CONNECT;
    load.insns = reinterpret_cast<uint64_t>(denial.data());
    load.insn_cnt = denial.size();
    load.license = reinterpret_cast<uint64_t>("GPL");
    const int program = bpf(BPF_PROG_LOAD, load);
    if (program < 0) fail_errno("cgroup/connect4 program");
    const int folder = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bpf_attr attach{};
    attach.target_fd = static_cast<uint32_t>(folder);
    attach.attach_bpf_fd = static_cast<uint32_t>(program);
    attach.attach_type = BPF_CGROUP_INET4_CONNECT;
    const int attached = bpf(BPF_PROG_ATTACH, attach);
    const int error = errno;
    close(folder);
    close(program);  // the cgroup keeps it, and takes it along when it is removed
    errno = error;
    if (attached != 0) fail_errno("attach to " + path_);
}

}  // namespace tcptrail::test
