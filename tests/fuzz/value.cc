// SPDX-License-Identifier: Apache-2.0
//
// The value of a Kafka record as `tcptrail consume` takes it: anybody may have written it.
#include "agent/commands/filter.h"
#include "agent/encode/text.h"
#include "agent/transmit/framing.h"
#include "schemas/v1/agent.pb.h"
#include "schemas/v1/connection.pb.h"
#include "tests/fuzz/target.h"

using namespace tcptrail;
using encode::TextFormat;
using tests::fuzz::expect;

namespace {

// A line of a table is one line, and no terminal acts upon it.
void print_table(TextFormat format, const v1::ConnectionEvent& event, encode::TextSubject subject) {
    const auto line = encode::text_line(format, event, subject);
    expect(line && line->ends_with('\n'), "no line");
    for (size_t i = 0; i + 1 < line->size(); ++i)
        expect(static_cast<unsigned char>((*line)[i]) >= ' ' && (*line)[i] != '\x7f', "a control character");
}

void take_event(std::string_view message) {
    v1::ConnectionEvent event;
    if (!event.ParseFromArray(message.data(), static_cast<int>(message.size()))) return;
    for (const auto format : {TextFormat::table, TextFormat::wide})
        for (const auto subject : {encode::TextSubject::events, encode::TextSubject::open_connections})
            print_table(format, event, subject);
    expect(encode::text_line(TextFormat::csv, event).has_value(), "no line of csv");
    // JSON's mapping refuses some: text that is not UTF-8. That is told.
    if (const auto json = encode::text_line(TextFormat::jsonl, event); !json)
        expect(!json.error().message.empty(), "an error without words");
    static const auto filter = commands::Filter::make(
        {.processes = {"a*"}, .ports = {443}, .addresses = {"10.0.0.0/8", "fe80::/10"}, .failed = true});
    (void)filter->matches(event);
}

void take_report(std::string_view message) {
    v1::AgentReport report;
    if (!report.ParseFromArray(message.data(), static_cast<int>(message.size()))) return;
    static std::FILE* const nowhere = std::fopen("/dev/null", "w");
    (void)encode::TextWriter(TextFormat::jsonl, nowhere).write(report);
    for (const auto& listener : report.listeners())
        for (const auto format : {TextFormat::table, TextFormat::csv, TextFormat::jsonl})
            (void)encode::text_line(format, listener);
}

void run(std::span<const uint8_t> input) {
    const auto value = tests::fuzz::text_of(input);
    const auto message = transmit::strip_frame(value);
    expect(value.ends_with(message), "not an end of it");
    take_event(message);
    take_report(message);
    std::string framed;
    transmit::add_confluent_frame(7, value, framed);
    expect(transmit::strip_frame(framed) == value, "framed and not unframed");
}

std::vector<std::string> seeds() {
    v1::ConnectionEvent event;
    event.set_run_id("run");
    event.set_sequence(1);
    event.set_kind(v1::EVENT_KIND_CLOSED);
    event.set_role(v1::ROLE_CLIENT);
    event.set_local_address("10.0.0.1");
    event.set_remote_address("2001:db8::1");
    event.set_remote_port(443);
    event.mutable_process()->set_name("curl\n");
    event.mutable_process()->set_pid(1);
    event.set_outcome(v1::OUTCOME_REFUSED);
    event.set_error("ECONNREFUSED");
    event.set_ended_unix_nanos(1'700'000'000'000'000'000);
    event.set_connect_us(12);
    event.set_lifetime_us(1'000'000'000'000);
    event.set_rtt_us(1);
    event.add_timeline()->set_state(v1::STATE_SYN_SENT);
    event.add_partial(v1::PARTIAL_END_MISSED);
    v1::AgentReport report;
    report.set_run_id("run");
    report.set_capture_ratio(0.5);
    report.add_listeners()->set_name("nginx");
    report.add_stages()->set_name("capture");
    report.add_hooks()->set_name("tp_btf/x");
    std::string framed;
    transmit::add_confluent_frame(1, event.SerializeAsString(), framed);
    return {event.SerializeAsString(), framed, report.SerializeAsString()};
}

const tests::fuzz::Register registered({"value", run, seeds});

}  // namespace
