// SPDX-License-Identifier: Apache-2.0
#include "agent/serve/listen_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <charconv>
#include <cstdint>
#include <cstring>

namespace tcptrail::serve {

namespace {

template <class Address>
ListenAddress made_of(const Address& address) {
    ListenAddress made;
    std::memcpy(&made.inet, &address, sizeof address);
    made.inet_bytes = sizeof address;
    return made;
}

}  // namespace

bool ListenAddress::is_local() const {
    if (!path.empty()) return true;
    if (inet.ss_family == AF_INET) {
        sockaddr_in in{};
        std::memcpy(&in, &inet, sizeof in);
        return ntohl(in.sin_addr.s_addr) >> 24 == 127;
    }
    sockaddr_in6 in6{};
    std::memcpy(&in6, &inet, sizeof in6);
    return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}

std::expected<ListenAddress, std::string> parse_listen_address(const std::string& text) {
    if (text.starts_with('/')) {
        if (text.size() >= sizeof(sockaddr_un::sun_path))
            return std::unexpected("is too long for the name of a socket");
        ListenAddress made;
        made.path = text;
        return made;
    }
    const size_t colon = text.rfind(':');
    if (colon == std::string::npos) return std::unexpected("has no port");
    uint16_t port = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, port);
    if (error != std::errc() || rest != end || port == 0)
        return std::unexpected("has no port from 1 to 65535");
    const std::string host = text.substr(0, colon);
    sockaddr_in in{};
    if (inet_pton(AF_INET, host.c_str(), &in.sin_addr) == 1) {
        in.sin_family = AF_INET;
        in.sin_port = htons(port);
        return made_of(in);
    }
    sockaddr_in6 in6{};
    if (host.size() > 2 && host.front() == '[' && host.back() == ']' &&
        inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &in6.sin6_addr) == 1) {
        in6.sin6_family = AF_INET6;
        in6.sin6_port = htons(port);
        return made_of(in6);
    }
    return std::unexpected("has no numeric address");
}

}  // namespace tcptrail::serve
