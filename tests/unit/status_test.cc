// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string>

#include "agent/commands/status_text.h"
#include "tests/catch.h"

using namespace tcptrail;
using commands::problems_of;
using commands::status_text;

namespace {

v1::AgentReport report() {
    v1::AgentReport report;
    report.set_node("web-1");
    report.set_run_id("40c54a41-273c-4fb7-96ec-b9a8d5c3bb32");
    report.set_version("0.1.0");
    report.set_kernel("6.18.44");
    report.set_uptime_us(7'500'000'000);
    report.set_starts(2);
    report.add_hooks()->set_attached(true);
    report.add_hooks()->set_attached(false);
    report.add_missing_facts("kinds of retransmits");
    v1::Stage& stage = *report.add_stages();
    stage.set_name("capture");
    stage.set_in(20000);
    stage.set_out(19990);
    stage.set_held(3);
    stage.add_lost()->set_reason("ring_full");
    stage.mutable_lost(0)->set_count(7);
    report.set_ring_bytes(32 << 20);
    report.set_ring_used_bytes(1 << 20);
    report.set_spool_bytes(5000);
    report.set_spool_events(12);
    report.mutable_kafka()->set_connected(true);
    report.mutable_kafka()->set_acknowledged(19978);
    report.mutable_kafka()->set_queued(12);
    report.set_cpu_user_seconds(1.5);
    report.set_cpu_system_seconds(2);
    report.set_memory_bytes(48 << 20);
    report.set_capture_ratio(1);
    report.set_connections_last_sequence(19990);
    return report;
}

constexpr const char* healthy =
    R"(agent       tcptrail 0.1.0 on web-1, Linux 6.18.44; for 2h05m
run         40c54a41-273c-4fb7-96ec-b9a8d5c3bb32, 19990 events told, by 2 agents
hooks       1 of 2 attached; missing: kinds of retransmits
ring        1.0M of 32.0M used
spool       12 events and reports wait, 4.9K
Kafka       connected; 19978 acknowledged, 12 sent and not yet, 0 failed and sent again
capture     1.0000 of what the kernel has counted
cost        3.5s of processor time, 48.0M of memory

STAGE                    IN            OUT       HELD       LOST
capture               20000          19990          3          7  ring_full 7

audit       holds: at every stage in = out + held + lost, and each takes what the one before gave
health      ok
)";

}  // namespace

TEST_CASE("status: what a healthy agent says, as text") {
    CHECK(problems_of(report()).empty());
    CHECK(status_text(report(), 0) == healthy);
}

TEST_CASE("status: accounts that do not fit") {
    v1::AgentReport violated = report();
    violated.add_audit_violations("capture: in 20000 is not out 19990 + held 0 + ring_full 7");
    violated.set_audit_violated(1);
    CHECK(problems_of(violated) == std::vector<std::string>{"the accounts did not fit"});
    CHECK_THAT(status_text(violated, 0),
               Catch::Matchers::ContainsSubstring(
                   "audit       violated: capture: in 20000 is not out 19990 + held 0 + ring_full 7\n"
                   "health      degraded: the accounts did not fit\n"));
    // It is not forgotten.
    violated.clear_audit_violations();
    CHECK(problems_of(violated).size() == 1);
    CHECK_THAT(status_text(violated, 0),
               Catch::Matchers::ContainsSubstring(
                   "audit       holds now; 1 accounts since the agent started did not\n"));
}

TEST_CASE("status: a disk and a Kafka that do not take events") {
    v1::AgentReport degraded = report();
    degraded.set_spool_problem("cannot write: No space left on device");
    degraded.mutable_kafka()->set_connected(false);
    degraded.mutable_kafka()->set_problem("the brokers do not answer");
    degraded.mutable_kafka()->set_last_error("the brokers do not answer");
    degraded.mutable_kafka()->set_last_error_unix_nanos(1'000'000'000);
    CHECK(problems_of(degraded).size() == 2);
    const std::string text = status_text(degraded, 4'000'000'000);
    CHECK_THAT(text, Catch::Matchers::ContainsSubstring("4.9K; not stored on the disk\n"));
    CHECK_THAT(text,
               Catch::Matchers::ContainsSubstring(
                   "Kafka       not connected; 19978 acknowledged, 12 sent and not yet, 0 failed and sent "
                   "again; last error 3.0s ago: the brokers do not answer\n"));
    CHECK_THAT(
        text, Catch::Matchers::ContainsSubstring(
                  "health      degraded: spool: cannot write: No space left on device; Kafka: the brokers do "
                  "not answer\n"));
}

TEST_CASE("status: a Kafka of which nothing has been heard") {
    v1::AgentReport begun = report();
    begun.mutable_kafka()->set_connected(false);
    begun.mutable_kafka()->set_acknowledged(0);
    CHECK(problems_of(begun) == std::vector<std::string>{"Kafka: no broker has stored anything yet"});
    CHECK_THAT(status_text(begun, 0),
               Catch::Matchers::ContainsSubstring(
                   "health      degraded: Kafka: no broker has stored anything yet\n"));
    // All are lost, and why is not known yet.
    v1::AgentReport lost = report();
    lost.mutable_kafka()->set_connected(false);
    CHECK(problems_of(lost) == std::vector<std::string>{"Kafka: no broker is left"});
    // What it was told of says more.
    lost.mutable_kafka()->set_problem("the brokers do not answer");
    CHECK(problems_of(lost) == std::vector<std::string>{"Kafka: the brokers do not answer"});
    // An agent that does not say whether it is.
    v1::AgentReport older = report();
    older.mutable_kafka()->clear_connected();
    CHECK(problems_of(older).empty());
}

TEST_CASE("status: an agent that prints, and one that sees nothing") {
    v1::AgentReport printing = report();
    printing.clear_kafka();
    printing.clear_spool_events();
    CHECK(problems_of(printing).empty());
    CHECK_THAT(status_text(printing, 0),
               Catch::Matchers::ContainsSubstring("Kafka       not set: events are printed\n"));
    v1::AgentReport blind;
    CHECK(problems_of(blind) == std::vector<std::string>{"there are no accounts", "no hook is attached"});
    // Those behind the kernel's count for themselves.
    blind.add_stages()->set_name("encode");
    CHECK(problems_of(blind).front() == "there are no accounts");
    // What an agent says is shown, not done.
    blind.set_node("a\x1b[31m\n");
    CHECK_THAT(status_text(blind, 0), Catch::Matchers::ContainsSubstring(R"(on a\x1b[31m\x0a, Linux)"));
}
