// SPDX-License-Identifier: Apache-2.0
//
// A service manager, for the tests of what one hears.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "agent/base/fd.h"
#include "tests/catch.h"

namespace tests {

// A variable of the environment, for as long as this lives.
class Variable {
public:
    Variable(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
    ~Variable() { unsetenv(name_); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

private:
    const char* name_;
};

// Hears as systemd does: datagrams at a Unix socket.
class Manager {
public:
    Manager() : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path_.copy(address.sun_path, path_.size());
        REQUIRE(bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    }
    ~Manager() { std::filesystem::remove(path_); }
    Manager(const Manager&) = delete;
    Manager& operator=(const Manager&) = delete;

    // Empty: nothing was said.
    std::string heard() const {
        std::array<char, 4096> buffer{};
        const ssize_t got = recv(fd_.get(), buffer.data(), buffer.size(), 0);
        return got > 0 ? std::string(buffer.data(), static_cast<size_t>(got)) : "";
    }

private:
    const std::string path_ = std::filesystem::temp_directory_path() / ("notify-" + std::to_string(getpid()));
    const Variable variable_{"NOTIFY_SOCKET", path_};
    tcptrail::Fd fd_;
};

}  // namespace tests
