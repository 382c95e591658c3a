// SPDX-License-Identifier: Apache-2.0
//
// What the service manager is told that started us (systemd, Type=notify). Where none asked for it, by
// NOTIFY_SOCKET, nothing is told to anybody. No call waits, and none fails: to be heard is the manager's
// affair. From any thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace tcptrail::service {

// The service does its work; `status` is one line for people, as `systemctl status` shows it.
void tell_ready(const std::string& status);
// Another configuration is being taken up. Until tell_ready().
void tell_reloading();
void tell_stopping();
void tell_status(const std::string& status);
// Feeds the watchdog.
void tell_alive();
// What is being done takes long, at the start or later: the manager waits for the next word, this one too,
// for ten minutes from now, rather than for its own timeout or that of the watchdog. For each piece of the
// work.
void tell_busy();

// Whether a service manager has started this process and listens.
bool has_manager();

// Within what time the watchdog is to be fed; nothing: there is none for this process.
std::optional<std::chrono::milliseconds> watchdog();

}  // namespace tcptrail::service
