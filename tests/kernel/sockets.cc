// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/sockets.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <utility>

namespace tcptrail::test {

namespace {

constexpr int patience_ms = 5000;

int result_of(int result) {
    return result < 0 ? -errno : result;
}

// Asks holds() every millisecond.
template <class Condition>
int await(Condition holds) {
    for (int waited = 0; waited < patience_ms; ++waited) {
        if (holds()) return 0;
        sleep_ms(1);
    }
    return -ETIMEDOUT;
}

}  // namespace

Endpoint endpoint(const std::string& address, uint16_t port, uint32_t scope_id) {
    Endpoint end{};
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    if (inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1) {
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        std::memcpy(&end.storage, &v4, sizeof v4);
        end.length = sizeof v4;
    } else if (inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) == 1) {
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(port);
        v6.sin6_scope_id = scope_id;
        std::memcpy(&end.storage, &v6, sizeof v6);
        end.length = sizeof v6;
    } else {
        throw std::invalid_argument("not an address: " + address);
    }
    return end;
}

std::string address_text(const Endpoint& end) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (end.family() == AF_INET) {
        sockaddr_in v4;
        std::memcpy(&v4, &end.storage, sizeof v4);
        inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    } else {
        sockaddr_in6 v6;
        std::memcpy(&v6, &end.storage, sizeof v6);
        inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    }
    return text.data();
}

// The port stands at the same place in both families.
uint16_t port_of(const Endpoint& end) {
    sockaddr_in any;
    std::memcpy(&any, &end.storage, sizeof any);
    return ntohs(any.sin_port);
}

int listen_on(const Endpoint& at, int backlog, bool dual_stack, int protocol) {
    const int fd = socket(at.family(), SOCK_STREAM | SOCK_CLOEXEC, protocol);
    if (fd < 0) return -errno;
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (at.family() == AF_INET6) set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, dual_stack ? 0 : 1);
    if (bind(fd, at.address(), at.length) != 0 || listen(fd, backlog) != 0) {
        const int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int connect_to(const Endpoint& to, const Endpoint* from, int protocol) {
    const int fd = socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, protocol);
    if (fd < 0) return -errno;
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if ((from != nullptr && bind(fd, from->address(), from->length) != 0) ||
        connect(fd, to.address(), to.length) != 0) {
        const int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int accept_one(int listener) {
    return result_of(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
}

int send_bytes(int fd, size_t size) {
    static const std::array<char, 65536> bytes{};
    while (size > 0) {
        const ssize_t sent = send(fd, bytes.data(), std::min(size, bytes.size()), MSG_NOSIGNAL);
        if (sent < 0) return -errno;
        size -= static_cast<size_t>(sent);
    }
    return 0;
}

int receive_bytes(int fd, size_t size) {
    std::array<char, 65536> bytes;
    while (size > 0) {
        const ssize_t received = recv(fd, bytes.data(), std::min(size, bytes.size()), 0);
        if (received < 0) return -errno;
        if (received == 0) return -ENODATA;
        size -= static_cast<size_t>(received);
    }
    return 0;
}

int read_to_end(int fd) {
    std::array<char, 65536> bytes;
    for (;;) {
        const ssize_t received = recv(fd, bytes.data(), bytes.size(), 0);
        if (received < 0) return -errno;
        if (received == 0) return 0;
    }
}

int await_unread(int fd, size_t size) {
    return await([=] {
        int unread = 0;
        return ioctl(fd, SIOCINQ, &unread) == 0 && static_cast<size_t>(unread) >= size;
    });
}

int await_state(int fd, uint8_t state) {
    return await([=] { return info_of(fd).tcpi_state == state; });
}

int await_acknowledged(int fd) {
    return await([=] {
        int pending = 0;
        return ioctl(fd, SIOCOUTQ, &pending) == 0 && pending == 0;
    });
}

int close_with_reset(int fd) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) != 0) return -errno;
    return result_of(close(fd));
}

int set_option(int fd, int level, int name, int value) {
    return result_of(setsockopt(fd, level, name, &value, sizeof value));
}

Endpoint local_end(int fd) {
    Endpoint end{};
    end.length = sizeof end.storage;
    getsockname(fd, reinterpret_cast<sockaddr*>(&end.storage), &end.length);
    return end;
}

tcp_info info_of(int fd) {
    tcp_info info{};
    socklen_t size = sizeof info;
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);
    return info;
}

CongestionName congestion_of(int fd) {
    CongestionName name{};
    socklen_t size = sizeof name.text - 1;
    getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.text, &size);
    return name;
}

int pass_socket(int channel, int fd) {
    char byte = 0;
    iovec data{.iov_base = &byte, .iov_len = 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fd)> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return sendmsg(channel, &message, 0) == 1 ? 0 : -errno;
}

int take_socket(int channel) {
    char byte = 0;
    iovec data{.iov_base = &byte, .iov_len = 1};
    int fd = -1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fd)> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (recvmsg(channel, &message, 0) != 1) return -errno;
    const cmsghdr* const header = CMSG_FIRSTHDR(&message);
    if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return -EBADMSG;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

void sleep_ms(int milliseconds) {
    timespec rest{.tv_sec = milliseconds / 1000, .tv_nsec = (milliseconds % 1000) * 1'000'000L};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {
    }
}

bool kernel_counts_timeouts() {
    utsname system{};
    int major = 0;
    int minor = 0;
    return uname(&system) == 0 && std::sscanf(system.release, "%d.%d", &major, &minor) == 2 &&
           std::pair(major, minor) >= std::pair(6, 7);
}

}  // namespace tcptrail::test
