// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/mixed/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace mix {
namespace {

constexpr int patience_ms = 60'000;

const sockaddr_in& v4(const Address& address) {
    return reinterpret_cast<const sockaddr_in&>(address.storage);
}

const sockaddr_in6& v6(const Address& address) {
    return reinterpret_cast<const sockaddr_in6&>(address.storage);
}

}  // namespace

void fail(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

// The port is at the same place in both families.
uint16_t Address::port() const {
    return ntohs(v4(*this).sin_port);
}

void Address::set_port(uint16_t port) {
    reinterpret_cast<sockaddr_in&>(storage).sin_port = htons(port);
}

std::string Address::text() const {
    char buffer[INET6_ADDRSTRLEN];
    if (family() == AF_INET) return inet_ntop(AF_INET, &v4(*this).sin_addr, buffer, sizeof buffer);
    const in6_addr& bytes = v6(*this).sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&bytes)) return inet_ntop(AF_INET, &bytes.s6_addr[12], buffer, sizeof buffer);
    return inet_ntop(AF_INET6, &bytes, buffer, sizeof buffer);
}

Address address(const std::string& text, uint16_t port) {
    Address result;
    auto& in = reinterpret_cast<sockaddr_in&>(result.storage);
    auto& in6 = reinterpret_cast<sockaddr_in6&>(result.storage);
    if (inet_pton(AF_INET, text.c_str(), &in.sin_addr) == 1) {
        in.sin_family = AF_INET;
        result.size = sizeof in;
    } else if (inet_pton(AF_INET6, text.c_str(), &in6.sin6_addr) == 1) {
        in6.sin6_family = AF_INET6;
        result.size = sizeof in6;
    } else {
        throw std::invalid_argument("not an address: " + text);
    }
    result.set_port(port);
    return result;
}

Socket::Socket(int family) : fd_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (fd_ < 0) fail("socket");
}

Socket Socket::adopt(int fd) {
    Socket socket;
    socket.fd_ = fd;
    return socket;
}

Socket& Socket::operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
}

void Socket::close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void Socket::reset() {
    const linger now = {.l_onoff = 1, .l_linger = 0};
    if (setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now) != 0) fail("SO_LINGER");
    close();
}

int Socket::begin_connect(const Address& to) const {
    if (fcntl(fd_, F_SETFL, O_NONBLOCK) != 0) fail("O_NONBLOCK");
    return ::connect(fd_, to.get(), to.size) == 0 ? 0 : errno;
}

int Socket::connect(const Address& to, bool non_blocking) const {
    if (!non_blocking) return ::connect(fd_, to.get(), to.size) == 0 ? 0 : errno;
    int error = begin_connect(to);
    if (error == EINPROGRESS) {
        pollfd ready = {.fd = fd_, .events = POLLOUT, .revents = 0};
        if (poll(&ready, 1, patience_ms) != 1) throw std::runtime_error("connect: nothing happens");
        error = pending_error();
    }
    if (fcntl(fd_, F_SETFL, 0) != 0) fail("F_SETFL");
    return error;
}

int Socket::pending_error() const {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) != 0) fail("SO_ERROR");
    return error;
}

Address Socket::local() const {
    Address own;
    if (getsockname(fd_, own.get(), &own.size) != 0) fail("getsockname");
    return own;
}

void Socket::send(const void* data, size_t bytes) const {
    const ssize_t sent = ::send(fd_, data, bytes, MSG_NOSIGNAL);
    if (sent < 0) fail("send");
    if (static_cast<size_t>(sent) != bytes) throw std::runtime_error("send: not all");
}

void Socket::receive(void* data, size_t bytes) const {
    for (auto* to = static_cast<char*>(data); bytes > 0;) {
        const ssize_t got = recv(fd_, to, bytes, 0);
        if (got < 0) fail("recv");
        if (got == 0) throw std::runtime_error("recv: the other end has closed");
        to += got;
        bytes -= static_cast<size_t>(got);
    }
}

void Socket::expect_end() const {
    char byte = 0;
    const ssize_t got = recv(fd_, &byte, 1, 0);
    if (got < 0) fail("recv");
    if (got > 0) throw std::runtime_error("recv: more data than there should be");
}

void Socket::expect_reset() const {
    char byte = 0;
    if (recv(fd_, &byte, 1, 0) >= 0) throw std::runtime_error("recv: no reset");
    if (errno != ECONNRESET) fail("recv");
}

void Socket::await_acknowledged() const {
    for (int outstanding = 1; outstanding > 0;) {
        if (ioctl(fd_, SIOCOUTQ, &outstanding) != 0) fail("SIOCOUTQ");
        if (outstanding > 0) usleep(20);
    }
}

}  // namespace mix
