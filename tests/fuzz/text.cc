// SPDX-License-Identifier: Apache-2.0
//
// What comes from procfs, from the names of cgroups and processes, and from filters of the command line.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "agent/base/utf8.h"
#include "agent/commands/filter.h"
#include "agent/context/cgroups.h"
#include "agent/context/container.h"
#include "agent/context/namespaces.h"
#include "agent/context/pod.h"
#include "agent/context/processes.h"
#include "agent/context/unit.h"
#include "agent/encode/printable.h"
#include "tests/fuzz/target.h"

using namespace tcptrail;
using tests::fuzz::expect;

namespace {

constexpr uint32_t pid = 7;

// A /proc with one process whose files all hold the same text.
class Proc {
public:
    Proc() : path_("/dev/shm/tcptrail-fuzz-" + std::to_string(getpid())) {
        for (const char* folder : {"/self", "/7/net"})
            std::filesystem::create_directories(path_ + folder);
    }
    Proc(const Proc&) = delete;
    Proc& operator=(const Proc&) = delete;
    ~Proc() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    const std::string& path() const { return path_; }
    void write(std::string_view text) const {
        for (const char* file : {"/self/mounts", "/7/stat", "/7/status", "/7/cgroup", "/7/net/snmp",
                                 "/7/net/netstat", "/7/net/sockstat"})
            std::ofstream(path_ + file, std::ios::binary) << text;
    }

private:
    std::string path_;
};

bool is_valid_utf8(std::string_view text) {
    while (!text.empty()) {
        const size_t length = utf8_sequence(text);
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}

void take_names(std::string_view text) {
    const auto id = context::container_id_of(text);
    expect(id.empty() || (id.size() == 64 && text.find(id) != text.npos), "a container id of its own");
    const auto unit = context::systemd_unit_of(text);
    expect(unit.empty() || (unit.contains('.') && text.contains(unit)), "a unit of its own");
    const auto pod = context::pod_uid_of(text);
    expect(pod.empty() || pod.size() == 32 || pod.size() == 36, "no uid of a pod");
    expect(text.starts_with(context::without_deleted(text)), "not a beginning of it");
    (void)context::cgroup_of(text);
    expect(is_valid_utf8(encode::repaired_utf8(text)), "not repaired");
    const std::string shown = encode::printable(text);
    expect(is_valid_utf8(shown), "not printable");
    for (const char c : shown)
        expect(static_cast<unsigned char>(c) >= ' ' && c != '\x7f', "a control character");
    for (const size_t width : {1, 10, 80})
        expect(encode::display_width(encode::cut(shown, width)) <= width, "too wide");
}

void take_filter(std::string_view text) {
    const auto network = commands::Network::parse(std::string(text));
    if (!network)
        expect(network.error().code == ExitCode::usage, "not ExitCode::usage");
    else
        (void)network->contains(text);
}

void run(std::span<const uint8_t> input) {
    const auto text = tests::fuzz::text_of(input);
    take_names(text);
    take_filter(text);
    (void)context::counter_of(text, "Tcp", "ActiveOpens");
    (void)context::sockstat_of(text, "TCP", "tw");

    static const Proc proc;
    proc.write(text);
    context::Processes processes(proc.path(), 1);
    (void)processes.find(pid, 0, "name");
    (void)processes.find(pid, 1'000'000'000, "name");
    (void)context::read_namespace_counts(proc.path(), pid);
    const context::Cgroups cgroups("", proc.path());
}

std::vector<std::string> seeds() {
    const std::string id(64, 'a');
    return {
        "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + id + ".scope",
        "12:devices:/docker/" + id + "\n0::/system.slice/nginx.service\n",
        "/usr/bin/x (deleted)",
        "7 (a) b) S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 100 0 0 0\n",
        "Name:\tx\nUid:\t1000\t1000\t1000\t1000\n",
        "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\nx /a\\040b cgroup2 rw 0 0\n",
        "Tcp: RtoAlgorithm ActiveOpens PassiveOpens\nTcp: 1 37 5\n",
        "TcpExt: ListenOverflows ListenDrops\nTcpExt: 1 2\n",
        "sockets: used 5\nTCP: inuse 5 orphan 0 tw 3 alloc 6 mem 1\n",
        "10.0.0.0/8",
        "fe80::1%eth0/64",
        "\x1b[31m\xe2\x80\xae\xff\xf3\xa0\x80\x81 caf\xc3\xa9",
    };
}

const tests::fuzz::Register registered({"text", run, seeds});

}  // namespace
