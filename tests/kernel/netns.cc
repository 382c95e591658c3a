// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/netns.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <tuple>

#include "tests/kernel/sockets.h"

namespace tcptrail::test {

namespace {

constexpr const char* own_netns = "/proc/thread-self/ns/net";

[[noreturn]] void fail_errno(const std::string& what) {
    throw std::runtime_error(what + ": " + std::strerror(errno));
}

void bring_up_loopback() {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail_errno("socket");
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
    const int result = ioctl(fd, SIOCSIFFLAGS, &request);
    close(fd);
    if (result != 0) fail_errno("lo up");
}

}  // namespace

Netns::Visit::Visit(int fd) : home_(open(own_netns, O_RDONLY | O_CLOEXEC)) {
    if (home_ < 0) fail_errno(own_netns);
    if (setns(fd, CLONE_NEWNET) != 0) fail_errno("setns");
}

// A thread that stays in the wrong namespace would spoil every test after this one.
Netns::Visit::~Visit() {
    if (setns(home_, CLONE_NEWNET) != 0) std::abort();
    close(home_);
}

Netns::Netns() {
    const int home = open(own_netns, O_RDONLY | O_CLOEXEC);
    if (home < 0) fail_errno(own_netns);
    if (unshare(CLONE_NEWNET) != 0) fail_errno("unshare (network tests need root)");
    fd_ = open(own_netns, O_RDONLY | O_CLOEXEC);
    if (setns(home, CLONE_NEWNET) != 0) std::abort();
    close(home);
    if (fd_ < 0) fail_errno(own_netns);

    struct stat status{};
    if (fstat(fd_, &status) != 0) fail_errno("fstat");
    inode_ = static_cast<uint32_t>(status.st_ino);

    inside(bring_up_loopback);
    // The host's choices are not ours: reno is in every kernel, and what one connection learned of
    // the path must not show in the next one's counters.
    sysctl("net.ipv4.tcp_congestion_control", "reno");
    sysctl("net.ipv4.tcp_no_metrics_save", "1");
}

Netns::~Netns() {
    if (fd_ >= 0) close(fd_);
}

void Netns::sysctl(const std::string& name, const std::string& value) const {
    std::string path = "/proc/sys/" + name;
    for (char& c : path) {
        if (c == '.') c = '/';
    }
    inside([&] {
        std::ofstream file(path);
        file << value << std::flush;
        if (!file) fail_errno(name + " = " + value);
    });
}

void Netns::ip(const std::string& arguments) const {
    const std::string command = "ip " + arguments;
    const int status = inside([&] { return std::system(command.c_str()); });
    if (status != 0) throw std::runtime_error(command + ": wait status " + std::to_string(status));
}

void Netns::add_address(const std::string& address, int prefix_bits, const std::string& device) const {
    const bool v6 = address.find(':') != std::string::npos;
    // nodad: no wait for others who may have it. The route to an IPv6 address appears a little later
    // nevertheless, by a worker of the kernel.
    ip("addr add " + address + "/" + std::to_string(prefix_bits) + (v6 ? " nodad" : "") + " dev " + device);
    const bool ready = inside([&] {
        const Endpoint own = endpoint(address, 9, if_nametoindex(device.c_str()));
        for (int waited = 0; waited < 5000; ++waited) {
            const int fd = socket(own.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
            const bool reachable = connect(fd, own.address(), own.length) == 0;
            close(fd);
            if (reachable) return true;
            sleep_ms(1);
        }
        return false;
    });
    if (!ready) throw std::runtime_error(address + " does not become ready");
}

uint64_t Netns::tcp_counter(const std::string& name) const {
    return inside([&]() -> uint64_t {
        for (const auto& [path, block] : {std::pair("/proc/thread-self/net/snmp", "Tcp:"),
                                          {"/proc/thread-self/net/netstat", "TcpExt:"}}) {
            std::ifstream file(path);
            std::string names;
            std::string values;
            while (std::getline(file, names) && std::getline(file, values)) {
                if (!names.starts_with(block)) continue;
                std::istringstream name_words(names);
                std::istringstream value_words(values);
                std::string word;
                std::string value;
                while (name_words >> word && value_words >> value) {
                    if (word == name) return std::stoull(value);
                }
            }
        }
        throw std::runtime_error("no Tcp counter " + name);
    });
}

uint64_t Netns::time_wait_sockets() const {
    return inside([]() -> uint64_t {
        std::ifstream file("/proc/thread-self/net/sockstat");
        for (std::string line; std::getline(file, line);) {
            const size_t at = line.find(" tw ");
            if (line.starts_with("TCP:") && at != std::string::npos) return std::stoull(line.substr(at + 4));
        }
        throw std::runtime_error("no TIME_WAIT count in sockstat");
    });
}

namespace {

// The kernel hears of a carrier by a worker; until then the device loses what is sent.
void await_carrier(const Netns& net, const std::string& device) {
    const bool running = net.inside([&] {
        const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        ifreq request{};
        device.copy(request.ifr_name, sizeof request.ifr_name - 1);
        for (int waited = 0; waited < 5000 && (request.ifr_flags & IFF_RUNNING) == 0; ++waited) {
            if (ioctl(fd, SIOCGIFFLAGS, &request) != 0) break;
            sleep_ms(1);
        }
        close(fd);
        return (request.ifr_flags & IFF_RUNNING) != 0;
    });
    if (!running) throw std::runtime_error(device + " has no carrier");
    // Takes the lock that the worker holds until it is done.
    net.ip("link set dev " + device + " up");
}

}  // namespace

void join_by_veth(const Netns& a, const Netns& b, int mtu) {
    const std::string pid = std::to_string(getpid());
    const std::string hardware = "02:00:00:00:00:0";
    // Born inside a; the peer is moved into b by the open file that names it.
    a.ip("link add name veth address " + hardware + "1 mtu " + std::to_string(mtu) +
         " type veth peer name veth address " + hardware + "2 mtu " + std::to_string(mtu) + " netns /proc/" +
         pid + "/fd/" + std::to_string(b.fd()));
    for (const auto& [net, own, other] : {std::tuple(&a, "1", "2"), {&b, "2", "1"}}) {
        // No address of the kernel's own, and no search for the neighbour, which takes a second if it
        // begins too early.
        net->ip("link set dev veth addrgenmode none");
        net->ip("link set dev veth up");
        net->add_address(std::string("10.76.0.") + own, 24, "veth");
        net->ip(std::string("neigh add 10.76.0.") + other + " lladdr " + hardware + other + " dev veth");
        for (const char* prefix : {"fd76::", "fe80::"}) {
            net->add_address(std::string(prefix) + own, 64, "veth");
            net->ip(std::string("neigh add ") + prefix + other + " lladdr " + hardware + other + " dev veth");
        }
    }
    await_carrier(a, "veth");
    await_carrier(b, "veth");
}

}  // namespace tcptrail::test
