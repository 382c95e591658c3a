// SPDX-License-Identifier: Apache-2.0
//
// Sockets and addresses of the mixed run. What a system call refuses unexpectedly is thrown.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace mix {

// Throws errno.
[[noreturn]] void fail(const std::string& what);

struct Address {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;

    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
    int family() const { return storage.ss_family; }
    uint16_t port() const;
    void set_port(uint16_t port);
    // Without the port. An IPv4-mapped address is written as IPv4.
    std::string text() const;
};

// Of either family, as text.
Address address(const std::string& text, uint16_t port);

class Socket {
public:
    Socket() = default;
    explicit Socket(int family);
    static Socket adopt(int fd);
    Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Socket& operator=(Socket&& other) noexcept;
    ~Socket() { close(); }

    int fd() const { return fd_; }
    void close();
    void reset();  // SO_LINGER 0 and close

    // 0 or errno. Waits for the end of the attempt, also where it does not block.
    int connect(const Address& to, bool non_blocking) const;
    // EINPROGRESS, or errno where the attempt is over.
    int begin_connect(const Address& to) const;
    int pending_error() const;

    Address local() const;
    void send(const void* data, size_t bytes) const;
    void receive(void* data, size_t bytes) const;
    // Throws unless the other end has closed, has reset.
    void expect_end() const;
    void expect_reset() const;
    void await_acknowledged() const;

private:
    int fd_ = -1;
};

}  // namespace mix
