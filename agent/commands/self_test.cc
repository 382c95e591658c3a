// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/self_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "agent/base/fd.h"

namespace tcptrail::commands {

namespace {

constexpr int connections = 100;
constexpr int most_drains = 100;
constexpr std::chrono::milliseconds drain_interval(10);

Result<> make_connection(const Fd& listener, const sockaddr_in& address) {
    const Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!client.valid() ||
        connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno("self-test: connect over loopback", errno);
    const Fd server(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!server.valid()) return fail_errno("self-test: accept over loopback", errno);
    return {};
}

}  // namespace

std::string SelfTestResult::text() const {
    std::string text = std::to_string(told) + " of " + std::to_string(lifecycles) +
                       " lifecycles of a self-test over loopback told";
    if (in_part) text += ", " + std::to_string(in_part) + " more in part";
    return text + "; recursion misses " + std::to_string(recursion_misses);
}

SelfTest::SelfTest() : pid_(getpid()) {}

void SelfTest::count(const tcptrail_record& record) {
    if (!port_ || (record.birth.local_port != port_ && record.birth.remote_port != port_)) return;
    constexpr uint32_t missed_of_birth = TCPTRAIL_BIRTH_MISSED | TCPTRAIL_BIRTH_STATES_GAP;
    const bool whole = record.birth.owner.actor.pid == static_cast<uint32_t>(pid_) &&
                       !(record.birth.flags & missed_of_birth) &&
                       !(record.flags & TCPTRAIL_RECORD_END_MISSED);
    ++(whole ? told_ : in_part_);
}

Result<SelfTestResult> SelfTest::run(capture::Capture& capture) {
    const Fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (!listener.valid() ||
        bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener.get(), 1) != 0 ||
        getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0)
        return fail_errno("self-test: listen on loopback", errno);
    port_ = ntohs(address.sin_port);

    SelfTestResult result;
    for (int i = 0; i < connections; ++i)
        if (auto made = make_connection(listener, address); !made)
            return std::unexpected(std::move(made.error()));
    result.lifecycles = 2 * connections;
    // The last ends come from softirq, a moment later.
    for (int i = 0; i < most_drains && told_ + in_part_ < result.lifecycles; ++i) {
        std::this_thread::sleep_for(drain_interval);
        if (auto drained = capture.drain(); !drained) return std::unexpected(std::move(drained.error()));
    }
    result.told = told_;
    result.in_part = in_part_;
    result.recursion_misses = capture.runs().recursion_misses;
    return result;
}

}  // namespace tcptrail::commands
