// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>

namespace tcptrail::test {

namespace {

sockaddr_in loopback_port(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
}

template <class Address>
HttpAnswer ask(const Address& address, int family, const std::string& path, const std::string& lines) {
    const Fd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: test\r\n" + lines + "\r\n";
    if (send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return {};
    std::string text;
    char buffer[65536];
    for (ssize_t got = 0; (got = recv(fd.get(), buffer, sizeof buffer, 0)) > 0;)
        text.append(buffer, static_cast<size_t>(got));
    const size_t end = text.find("\r\n\r\n");
    if (end == std::string::npos || !text.starts_with("HTTP/1.1 ")) return {};
    return {std::atoi(text.c_str() + 9), text.substr(0, end + 2), text.substr(end + 4)};
}

}  // namespace

HttpAnswer http_get(uint16_t port, const std::string& path, const std::string& lines) {
    return ask(loopback_port(port), AF_INET, path, lines);
}

HttpAnswer http_get(const std::string& socket, const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket.copy(address.sun_path, sizeof address.sun_path - 1);
    return ask(address, AF_UNIX, path, "");
}

Fd http_begin(uint16_t port, const std::string& bytes) {
    const sockaddr_in address = loopback_port(port);
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0)
        fd.reset();
    return fd;
}

uint16_t free_port() {
    sockaddr_in address = loopback_port(0);
    socklen_t size = sizeof address;
    const Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return 0;
    getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
}

}  // namespace tcptrail::test
