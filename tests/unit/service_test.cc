// SPDX-License-Identifier: Apache-2.0
//
// agent/base/service: what the service manager hears.
#include "agent/base/service.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "agent/base/fd.h"
#include "tests/catch.h"

using namespace tcptrail;

namespace {

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
    Fd fd_;
};

}  // namespace

TEST_CASE("service: each message in the words of systemd") {
    const Manager manager;
    service::tell_ready("tracing with 16 hooks");
    CHECK(manager.heard() == "READY=1\nSTATUS=tracing with 16 hooks");
    service::tell_alive();
    CHECK(manager.heard() == "WATCHDOG=1");
    service::tell_reloading();
    const std::string reloading = manager.heard(), before = "RELOADING=1\nMONOTONIC_USEC=";
    REQUIRE(reloading.starts_with(before));
    CHECK(std::stoull(reloading.substr(before.size())) > 0);
    service::tell_stopping();
    CHECK(manager.heard() == "STOPPING=1");
    CHECK(manager.heard().empty());
}

TEST_CASE("service: a status of several lines is no other message") {
    const Manager manager;
    service::tell_status("a\nREADY=1");
    CHECK(manager.heard() == "STATUS=a\\nREADY=1");
}

TEST_CASE("service: without a manager nothing is said and nothing fails") {
    service::tell_ready("");
    service::tell_alive();
    CHECK(service::watchdog() == std::nullopt);
}

TEST_CASE("service: the watchdog is for the process that it names") {
    const Variable micros("WATCHDOG_USEC", "30000000");
    {
        const Variable pid("WATCHDOG_PID", std::to_string(getpid()));
        CHECK(service::watchdog() == std::chrono::seconds(30));
    }
    const Variable pid("WATCHDOG_PID", std::to_string(getppid()));
    CHECK(service::watchdog() == std::nullopt);
}
