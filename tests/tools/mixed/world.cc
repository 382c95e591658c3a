// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/mixed/world.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace mix {
namespace {

constexpr const char* own_netns = "/proc/self/ns/net";

// Ports of 10.92.0.0/16 must be no server's and no client's: a client's own would answer it.
constexpr uint32_t first_failing_port = 3000;
constexpr uint32_t failing_ports = 29000;
constexpr uint16_t tight_ports[] = {40000, 40001};

constexpr const char* routes_of_all =
    "route add unreachable 10.93.0.0/16\n"
    "route add unreachable fd93::/64\n"
    "route add prohibit 10.95.0.0/16\n"
    "route add prohibit fd95::/64\n";

// What goes to loopback without being local is discarded in silence; there is no such thing in IPv6.
constexpr const char* loopback =
    "link set lo up\n"
    "addr add 10.89.0.1/32 dev lo\n"
    "route add 10.90.0.0/16 dev lo src 10.89.0.1\n"
    "route add local 10.92.0.0/16 dev lo\n"
    "route add local fd92::/64 dev lo\n";

constexpr const char* west =
    "link set lo up\n"
    "link set mix up\n"
    "addr add 10.88.0.1/24 dev mix\n"
    "addr add fd88::1/64 dev mix nodad\n"
    "route add 10.90.0.0/16 via 10.88.0.2\n"
    "route add fd90::/64 via fd88::2\n"
    "route add 10.92.0.0/16 via 10.88.0.2\n"
    "route add fd92::/64 via fd88::2\n";

constexpr const char* east =
    "link set lo up\n"
    "link set mix up\n"
    "addr add 10.88.0.2/24 dev mix\n"
    "addr add fd88::2/64 dev mix nodad\n"
    "route add blackhole 10.90.0.0/16\n"
    "route add blackhole fd90::/64\n"
    "route add local 10.92.0.0/16 dev lo\n"
    "route add local fd92::/64 dev lo\n";

Namespace current(const std::string& name) {
    const int fd = open(own_netns, O_RDONLY | O_CLOEXEC);
    struct stat status{};
    if (fd < 0 || fstat(fd, &status) != 0) fail(own_netns);
    return {.name = name, .fd = fd, .inode = status.st_ino};
}

bool is_loopback_up() {
    const Socket socket(AF_INET);
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    if (ioctl(socket.fd(), SIOCGIFFLAGS, &request) != 0) fail("lo");
    return (request.ifr_flags & IFF_UP) != 0;
}

// In the network namespace of the calling process.
void run_ip(const std::string& batch) {
    FILE* pipe = popen("ip -batch -", "w");
    if (pipe == nullptr) fail("popen");
    fputs(batch.c_str(), pipe);
    if (pclose(pipe) != 0) throw std::runtime_error("ip could not do:\n" + batch);
}

void write_sysctl(const char* path, const std::string& value) {
    std::ofstream file(path);
    file << value << std::flush;
    if (!file) throw std::runtime_error(std::string("cannot set ") + path);
}

void set_sysctls() {
    // Two SYNs, then the kernel gives up: after 3 s.
    write_sysctl("/proc/sys/net/ipv4/tcp_syn_retries", "1");
    // Since Linux 6.5.
    constexpr const char* linear = "/proc/sys/net/ipv4/tcp_syn_linear_timeouts";
    if (access(linear, F_OK) == 0) write_sysctl(linear, "0");
    write_sysctl("/proc/sys/net/ipv4/tcp_congestion_control", "reno");
    write_sysctl("/proc/sys/net/ipv4/tcp_no_metrics_save", "1");
    write_sysctl("/proc/sys/net/ipv4/ip_forward", "0");
}

// The route to an IPv6 address appears a little after the address.
void await_reachable(const std::string& text) {
    const Address to = address(text, 9);
    for (int waited_ms = 0; waited_ms < 5000; waited_ms++) {
        const int fd = socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const bool reachable = connect(fd, to.get(), to.size) == 0;
        close(fd);
        if (reachable) return;
        usleep(1000);
    }
    throw std::runtime_error(text + " cannot be reached");
}

// A port that a socket is bound to is taken for every other that does not say which it wants.
Socket take_port(uint16_t port) {
    Socket holder(AF_INET6);
    const Address any = address("::", port);
    if (bind(holder.fd(), any.get(), any.size) != 0) fail("bind");
    return holder;
}

}  // namespace

World::World() {
    if (is_loopback_up())
        throw std::runtime_error("this network namespace is in use; run it in a new one: unshare --net");
    namespaces_.push_back(current("home"));
    for (const char* name : {"apart", "west", "tight", "east"}) {
        if (unshare(CLONE_NEWNET) != 0) fail("unshare");
        namespaces_.push_back(current(name));
    }
    enter(of_clients(Place::link));
    run_ip("link add mix type veth peer name mix netns /proc/" + std::to_string(getpid()) + "/fd/" +
           std::to_string(of_servers(Place::link).fd) + "\n");
    for (const Namespace& each : namespaces_) {
        enter(each);
        set_sysctls();
        run_ip((each.name == "west"   ? west
                : each.name == "east" ? east
                                      : loopback) +
               std::string(routes_of_all));
    }
    enter(of_clients(Place::link));
    await_reachable("fd88::2");
    enter(of_servers(Place::link));
    await_reachable("fd88::1");
    enter(of_clients(Place::tight));
    write_sysctl("/proc/sys/net/ipv4/ip_local_port_range",
                 std::to_string(tight_ports[0]) + ' ' + std::to_string(tight_ports[1]));
    for (const uint16_t port : tight_ports)
        holders_.push_back(take_port(port));
    enter(of_clients(Place::home));
}

const Namespace& World::of_servers(Place place) const {
    return place == Place::link ? namespaces_.back() : of_clients(place);
}

void World::enter(const Namespace& to) {
    if (setns(to.fd, CLONE_NEWNET) != 0) fail("setns");
}

tests::Opens World::read_opens(const Namespace& of) {
    enter(of);
    return tests::read_opens();
}

Address World::listening(Place place, Family family, uint16_t port) {
    return family == Family::mapped ? address("::", port) : server(place, family, port);
}

Address World::server(Place place, Family family, uint16_t port) {
    if (family == Family::ipv6) return address(place == Place::link ? "fd88::2" : "::1", port);
    return address(place == Place::link ? "10.88.0.2" : "127.0.0.1", port);
}

Address World::failing(Place place, Family family, const Attempt& attempt) {
    const uint32_t number = attempt.number / failing_ports;
    const auto port = static_cast<uint16_t>(first_failing_port + attempt.number % failing_ports);
    int network = 92;  // refused; also where nothing is sent because there is no port
    if (attempt.fate == Fate::timed_out || attempt.fate == Fate::abandoned) network = 90;
    if (attempt.fate == Fate::unreachable) network = attempt.second_variety() ? 93 : 94;
    if (attempt.fate == Fate::denied) network = 95;
    char text[64];
    if (family == Family::ipv6 && (network != 90 || place == Place::link))
        std::snprintf(text, sizeof text, "fd%d::%x", network, 1 + number);
    else
        std::snprintf(text, sizeof text, "10.%d.%u.%u", network, number / 250, 1 + number % 250);
    return address(text, port);
}

}  // namespace mix
