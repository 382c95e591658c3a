// SPDX-License-Identifier: Apache-2.0
//
// Network namespaces of a test's own. They have no name: each lives as long as an open file or a
// process of the test, so nothing is left behind however the test ends.
#pragma once

#include <cstdint>
#include <string>

namespace tcptrail::test {

// One private network namespace with lo up. Single-threaded use only: entering it moves the calling
// thread. All members throw std::runtime_error when the system refuses.
class Netns {
public:
    Netns();
    ~Netns();
    Netns(const Netns&) = delete;
    Netns& operator=(const Netns&) = delete;

    int fd() const { return fd_; }
    uint32_t inode() const { return inode_; }

    // Sets "net.ipv4.tcp_syn_retries" and its like inside.
    void sysctl(const std::string& name, const std::string& value) const;

    // Runs iproute2's ip inside: ip("link set lo up").
    void ip(const std::string& arguments) const;

    // Gives a device an address that is ready for use when this returns.
    void add_address(const std::string& address, int prefix_bits, const std::string& device) const;

    // A number of the kernel's own by its name: of /proc/net/snmp's "Tcp:" block ("ActiveOpens") or of
    // /proc/net/netstat's "TcpExt:" block ("SyncookiesSent").
    uint64_t tcp_counter(const std::string& name) const;

    // Sockets in TIME_WAIT now.
    uint64_t time_wait_sockets() const;

    // Runs body() with the calling thread inside the namespace.
    template <class Body>
    auto inside(Body body) const {
        const Visit visit(fd_);
        return body();
    }

private:
    // Moves the calling thread into a namespace for the length of a scope.
    class Visit {
    public:
        explicit Visit(int fd);
        ~Visit();
        Visit(const Visit&) = delete;
        Visit& operator=(const Visit&) = delete;

    private:
        int home_;
    };

    int fd_ = -1;
    uint32_t inode_ = 0;
};

// Joins two namespaces by a veth pair "veth": a has 10.76.0.1/24, fd76::1/64 and fe80::1, b the same
// with .2 and ::2. `mtu` in bytes.
void join_by_veth(const Netns& a, const Netns& b, int mtu = 1500);

}  // namespace tcptrail::test
