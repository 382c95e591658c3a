// SPDX-License-Identifier: Apache-2.0
#include "tests/faults/own_connections.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/catch.h"

namespace tests {

OwnConnections::OwnConnections(uint64_t count) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    open_.push_back(listener);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const name = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(bind(listener, name, length) == 0);
    REQUIRE(listen(listener, 1024) == 0);
    REQUIRE(getsockname(listener, name, &length) == 0);
    port_ = ntohs(address.sin_port);
    for (uint64_t i = 0; i < count; ++i) {
        open_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        REQUIRE(connect(open_.back(), name, length) == 0);
        open_.push_back(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
        REQUIRE(open_.back() >= 0);
    }
}

void OwnConnections::close() {
    for (const int fd : open_)
        ::close(fd);
    open_.clear();
}

ToldAtPort told_at(uint16_t port, const Setting& setting) {
    struct stat netns{};
    REQUIRE(stat("/proc/self/ns/net", &netns) == 0);
    ToldAtPort told;
    std::istringstream lines(setting.consume().output);
    for (std::string line; std::getline(lines, line);) {
        const auto event = nlohmann::json::parse(line);
        if (event.value("netns", 0U) != netns.st_ino) continue;
        if (event.value("local_port", 0) != port && event.value("remote_port", 0) != port) continue;
        ++told.ends;
        told.ids.insert(event.at("connection_id"));
        for (const auto& reason : event.value("partial", nlohmann::json::array())) {
            if (reason == "PARTIAL_BIRTH_MISSED") ++told.without_beginning;
            if (reason == "PARTIAL_END_MISSED") ++told.without_end;
        }
    }
    return told;
}

}  // namespace tests
