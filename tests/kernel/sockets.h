// SPDX-License-Identifier: Apache-2.0
//
// System calls for the scripts of actors. Each returns what the kernel returned, or -errno; none
// asserts, allocates or throws, so that a script can run in a forked child.
#pragma once

#include <linux/tcp.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace tcptrail::test {

// TCP states by the kernel's numbers. <netinet/tcp.h>, which has them, cannot stand beside
// <linux/tcp.h>, which has the longer tcp_info.
namespace tcp_state {
constexpr uint8_t established = 1;
constexpr uint8_t syn_sent = 2;
constexpr uint8_t fin_wait2 = 5;
constexpr uint8_t close = 7;
constexpr uint8_t close_wait = 8;
}  // namespace tcp_state

// An address and a port. Trivially copyable: a script captures it by value.
struct Endpoint {
    sockaddr_storage storage;
    socklen_t length;

    const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&storage); }
    int family() const { return storage.ss_family; }
};

// "127.0.0.1", "::1", "fe80::1" with the interface's index. Throws std::invalid_argument.
Endpoint endpoint(const std::string& address, uint16_t port, uint32_t scope_id = 0);
std::string address_text(const Endpoint& end);  // without a scope
uint16_t port_of(const Endpoint& end);

// Listens; a port of 0 lets the kernel choose. `dual_stack`: an IPv6 socket that takes IPv4 as well.
// `protocol`: IPPROTO_MPTCP, or 0 for TCP.
int listen_on(const Endpoint& at, int backlog = 128, bool dual_stack = false, int protocol = 0);

// A blocking connect, from `from` if given. The socket, or -errno with the socket closed.
int connect_to(const Endpoint& to, const Endpoint* from = nullptr, int protocol = 0);

int accept_one(int listener);

// The whole of `size` bytes, in calls of at most 64 KiB. 0 or -errno.
int send_bytes(int fd, size_t size);

// 0, -errno, or -ENODATA when the peer ended the stream before.
int receive_bytes(int fd, size_t size);

// Reads until the peer's end: 0, or -errno (-ECONNRESET).
int read_to_end(int fd);

// Waits until the kernel has `size` unread bytes on the socket. 0, or -ETIMEDOUT after 5 s.
int await_unread(int fd, size_t size);

// Waits until the socket is in the state. 0, or -ETIMEDOUT.
int await_state(int fd, uint8_t state);

// Waits until everything that was sent is acknowledged. 0, or -ETIMEDOUT.
int await_acknowledged(int fd);

// SO_LINGER 0 and close: sends a reset.
int close_with_reset(int fd);

int set_option(int fd, int level, int name, int value);

Endpoint local_end(int fd);
tcp_info info_of(int fd);

// The name of the socket's congestion control algorithm.
struct CongestionName {
    char text[16];
};
CongestionName congestion_of(int fd);

// Hands a socket to another process over a Unix socket (SCM_RIGHTS). Receiving returns the new fd.
int pass_socket(int channel, int fd);
int take_socket(int channel);

void sleep_ms(int milliseconds);

// Whether tcp_sock has total_rto: Linux 6.7. Before, rto_count is absent.
bool kernel_counts_timeouts();

}  // namespace tcptrail::test
