// SPDX-License-Identifier: Apache-2.0
//
// agent/base/service: what the service manager hears.
#include "agent/base/service.h"

#include <unistd.h>

#include <string>

#include "tests/catch.h"
#include "tests/unit/service_manager.h"

using namespace tcptrail;
using tests::Manager;
using tests::Variable;

TEST_CASE("service: each message in the words of systemd") {
    const Manager manager;
    service::tell_ready("tracing with 16 hooks");
    CHECK(manager.heard() == "READY=1\nSTATUS=tracing with 16 hooks");
    service::tell_alive();
    CHECK(manager.heard() == "WATCHDOG=1");
    service::tell_busy();
    CHECK(manager.heard() == "EXTEND_TIMEOUT_USEC=600000000");
    CHECK(service::has_manager());
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
    CHECK_FALSE(service::has_manager());
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
