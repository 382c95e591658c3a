// SPDX-License-Identifier: Apache-2.0
//
// What a host may lack: faults 21, 23, 29.
#include <nlohmann/json.hpp>
#include <set>

#include "tests/catch.h"
#include "tests/faults/audit.h"
#include "tests/faults/broker.h"
#include "tests/faults/refusal.h"

using namespace tests;

namespace {

constexpr int exit_unavailable = 69;
constexpr int exit_no_permission = 77;

}  // namespace

TEST_CASE("fault 21: no BTF", "[faults][root]") {
    const Setting setting;
    const std::string told = require_refusal(
        after_mounts("mount -t tmpfs none /sys/kernel/btf", setting.agent()), exit_unavailable);
    CHECK(told.find("/sys/kernel/btf/vmlinux") != told.npos);
    CHECK(told.find("CONFIG_DEBUG_INFO_BTF") != told.npos);
}

TEST_CASE("fault 23: a capability is missing", "[faults][root]") {
    struct Missing {
        const char* dropped;
        const char* named;
    };
    for (const auto& [dropped, named] : {Missing{"-bpf,-sys_admin", "missing CAP_BPF;"},
                                         Missing{"-perfmon,-sys_admin", "missing CAP_PERFMON;"},
                                         Missing{"-all", "missing CAP_BPF and CAP_PERFMON;"}}) {
        INFO(dropped);
        const Setting setting;
        const std::string told = require_refusal(
            behind({"/usr/bin/setpriv", "--bounding-set", dropped, "--inh-caps", dropped}, setting.agent()),
            exit_no_permission);
        CHECK(told.find(named) != told.npos);
    }
}

TEST_CASE("fault 23: a seccomp profile refuses bpf()", "[faults][root]") {
    const Setting setting;
    const std::string told = require_refusal(
        behind({built("tests/tools/deny"), "EPERM", "bpf"}, setting.agent()), exit_no_permission);
    CHECK(told.find("a seccomp profile, a security module") != told.npos);
}

TEST_CASE("fault 23: a seccomp profile refuses perf_event_open()", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    // What needs it is missing, and said to be; the rest goes on.
    Process agent(behind({built("tests/tools/deny"), "EPERM", "perf_event_open"}, setting.agent()));
    REQUIRE(is_tracing(agent));
    const Truth truth = truth_of(run(generator(500)));
    require_delivered(setting, 2 * truth.connections);
    require_stops(agent);
    CHECK(require_audit(setting, {truth}).lost == 0);
    CHECK_FALSE(setting.reports().back().value("hooks", nlohmann::json::array()).empty());
}

TEST_CASE("fault 29: two hosts with one machine id, and one without", "[faults][root]") {
    Broker::shared();
    const Setting setting;
    setting.create_topics();
    std::vector<Truth> truths;
    std::set<std::string> hosts;
    const std::string none =
        "mount --bind /dev/null /etc/machine-id && "
        "if [ -e /var/lib/dbus/machine-id ]; then mount --bind /dev/null "
        "$(realpath /var/lib/dbus/machine-id); fi";
    for (const auto& command : {setting.agent(), setting.agent(), after_mounts(none, setting.agent())}) {
        Process agent(command);
        REQUIRE(is_tracing(agent));
        truths.push_back(truth_of(run(generator(200))));
        require_stops(agent);
    }
    // Told apart by their runs; by the host only where that is known.
    CHECK(require_audit(setting, truths).lost == 0);
    std::set<std::string> runs;
    for (const auto& report : setting.reports()) {
        hosts.insert(report.at("host_id"));
        runs.insert(report.at("run_id"));
        CHECK_FALSE(report.at("host_id").get<std::string>().empty());
    }
    CHECK(hosts.size() == 2);
    CHECK(runs.size() == 3);
}
