// SPDX-License-Identifier: Apache-2.0
#include "tests/kafka/deaf_broker.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace tests {

DeafBroker::DeafBroker() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener_, any, length) != 0 || listen(listener_, 16) != 0 ||
        getsockname(listener_, any, &length) != 0)
        throw std::system_error(errno, std::generic_category(), "listen");
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] {
        for (;;) {
            const int taken = accept(listener_, nullptr, nullptr);
            if (taken < 0) return;
            close(taken);
            ++taken_;
        }
    });
}

DeafBroker::~DeafBroker() {
    stop();
}

void DeafBroker::stop() {
    if (!thread_.joinable()) return;
    shutdown(listener_, SHUT_RD);  // ends accept()
    thread_.join();
    close(listener_);
}

}  // namespace tests
