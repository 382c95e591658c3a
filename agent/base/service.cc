// SPDX-License-Identifier: Apache-2.0
#include "agent/base/service.h"

#include <systemd/sd-daemon.h>

#include <cstdlib>

#include "agent/base/clock.h"
#include "agent/base/log.h"

namespace tcptrail::service {

namespace {

constexpr std::chrono::minutes busy_timeout{10};

void tell(const std::string& message) {
    (void)sd_notify(0, message.c_str());
}

}  // namespace

void tell_ready(const std::string& status) {
    tell("READY=1\nSTATUS=" + one_line(status));
}

void tell_reloading() {
    tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_nanos() / 1000));
}

void tell_stopping() {
    tell("STOPPING=1");
}

void tell_status(const std::string& status) {
    tell("STATUS=" + one_line(status));
}

void tell_alive() {
    tell("WATCHDOG=1");
}

void tell_busy() {
    tell("EXTEND_TIMEOUT_USEC=" + std::to_string(std::chrono::microseconds(busy_timeout).count()));
}

bool has_manager() {
    const char* const address = std::getenv("NOTIFY_SOCKET");
    return address != nullptr && *address != '\0';
}

std::optional<std::chrono::milliseconds> watchdog() {
    uint64_t micros = 0;
    if (sd_watchdog_enabled(0, &micros) <= 0) return std::nullopt;
    return std::chrono::milliseconds(micros / 1000);
}

}  // namespace tcptrail::service
