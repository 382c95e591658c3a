// SPDX-License-Identifier: Apache-2.0
#include <fmt/compile.h>

#include <algorithm>
#include <ctime>
#include <string_view>
#include <utility>

#include "agent/encode/humanize.h"
#include "agent/encode/printable.h"
#include "agent/encode/text_columns.h"
#include "agent/encode/text_forms.h"

namespace tcptrail::encode {
namespace {

using v1::ConnectionEvent;

std::string time_of_day(const ConnectionEvent& event) {
    const uint64_t nanos =
        event.has_ended_unix_nanos() ? event.ended_unix_nanos() : event.emitted_unix_nanos();
    if (nanos == 0) return std::string(absent);
    const auto seconds = static_cast<time_t>(nanos / 1'000'000'000);
    // Most are of the same second as the one before.
    thread_local time_t last = -1;
    thread_local struct tm local = {};
    if (seconds != std::exchange(last, seconds)) localtime_r(&seconds, &local);
    return fmt::format(FMT_COMPILE("{:02}:{:02}:{:02}.{:03}"), local.tm_hour, local.tm_min, local.tm_sec,
                       nanos / 1'000'000 % 1000);
}

std::string role(const ConnectionEvent& event) {
    if (event.role() == v1::ROLE_CLIENT) return "client";
    if (event.role() == v1::ROLE_SERVER) return "server";
    return std::string(absent);
}

std::string process(const ConnectionEvent& event) {
    return process_cell(event.process().name(), event.process().pid());
}

std::string endpoints(const ConnectionEvent& event) {
    return fmt::format(FMT_COMPILE("{} → {}"), endpoint_cell(event.local_address(), event.local_port()),
                       endpoint_cell(event.remote_address(), event.remote_port()));
}

// How an attempt failed, else how the connection ended, else what is known of it.
std::string fate(const ConnectionEvent& event) {
    switch (event.kind()) {
        case v1::EVENT_KIND_OPENED:
            return "OPENED";
        case v1::EVENT_KIND_PROGRESS:
            return event.state() == 0 ? "OPEN" : fmt::format("OPEN({})", enum_word(event.state()));
        default:
            break;
    }
    if (event.outcome() != 0 && event.outcome() != v1::OUTCOME_ESTABLISHED) return enum_word(event.outcome());
    if (event.end() != 0) return enum_word(event.end());
    return event.kind() == v1::EVENT_KIND_CLOSED ? "CLOSED" : std::string(absent);
}

std::string fate_with_error(const ConnectionEvent& event) {
    if (!event.error().empty()) return fmt::format("{} ({})", fate(event), printable(event.error()));
    if (event.has_error_number()) return fmt::format("{} (errno {})", fate(event), event.error_number());
    return fate(event);
}

// RECEIVED/the kernel's reason
std::string reset(const ConnectionEvent& event) {
    const std::string direction = or_absent(enum_word(event.reset().direction()));
    return event.reset().reason().empty() ? direction : direction + '/' + printable(event.reset().reason());
}

std::string timeline(const ConnectionEvent& event) {
    std::string text;
    for (const auto& change : event.timeline()) {
        if (!text.empty()) text += ';';
        text += or_absent(enum_word(change.state())) + '@' + human_duration(change.at_us());
    }
    return or_absent(text);
}

std::string partial(const ConnectionEvent& event) {
    std::string text;
    for (const int reason : event.partial()) {
        if (!text.empty()) text += ';';
        text += or_absent(enum_word(*v1::Partial_descriptor(), reason));
    }
    return or_absent(text);
}

std::string state(const ConnectionEvent& event) {
    return or_absent(enum_word(event.state()));
}

std::string netns(const ConnectionEvent& event) {
    return event.netns() == 0 ? std::string(absent) : std::to_string(event.netns());
}

std::string container(const ConnectionEvent& event) {
    return container_cell(event.process().container_name(), event.process().container_id());
}

std::string unit(const ConnectionEvent& event) {
    return or_absent(printable(event.process().systemd_unit()));
}

std::string pod(const ConnectionEvent& event) {
    return pod_cell(event.kubernetes().namespace_(), event.kubernetes().pod());
}

std::string uid(const ConnectionEvent& event) {
    return event.process().has_uid() ? std::to_string(event.process().uid()) : std::string(absent);
}

std::string congestion(const ConnectionEvent& event) {
    return or_absent(printable(event.congestion()));
}

std::string executable(const ConnectionEvent& event) {
    return or_absent(printable(event.process().executable()));
}

// The cell of an optional field.
template <auto has, auto get, auto show>
std::string if_known(const ConnectionEvent& event) {
    return (event.*has)() ? show((event.*get)()) : std::string(absent);
}

std::string number(uint32_t n) {
    return std::to_string(n);
}

using Event = ConnectionEvent;
const Column<Event> columns[] = {
    {"TIME", 12, 12, Align::left, time_of_day},
    {"ROLE", 6, 6, Align::left, role},
    {"PROCESS[PID]", process_width, process_width, Align::left, process},
    {"LOCAL → REMOTE", 43, 43, Align::left, endpoints},
    {"OUTCOME/END", 19, 0, Align::left, fate},
    {"OUTCOME/END", 0, 33, Align::left, fate_with_error},
    {"CONNECT", 7, 7, Align::right, if_known<&Event::has_connect_us, &Event::connect_us, human_duration>},
    {"LIFETIME", 8, 8, Align::right, if_known<&Event::has_lifetime_us, &Event::lifetime_us, human_duration>},
    {"SENT", 6, 6, Align::right, if_known<&Event::has_bytes_sent, &Event::bytes_sent, human_bytes>},
    {"RECEIVED", 8, 8, Align::right,
     if_known<&Event::has_bytes_received, &Event::bytes_received, human_bytes>},
    {"RTT", 6, 6, Align::right, if_known<&Event::has_rtt_us, &Event::rtt_us, human_duration>},
    {"RETR", 4, 4, Align::right, if_known<&Event::has_retransmits, &Event::retransmits, number>},
    {"NETNS", 0, 10, Align::left, netns},
    {"CONTAINER", 0, container_width, Align::left, container},
    {"UNIT", 0, unit_width, Align::left, unit},
    {"POD", 0, pod_width, Align::left, pod},
    {"UID", 0, 5, Align::left, uid},
    {"IDLE", 0, 6, Align::right, if_known<&Event::has_idle_us, &Event::idle_us, human_duration>},
    {"REASON", 0, 24, Align::left, reset},
    {"CONGESTION", 0, 10, Align::left, congestion},
    {"DELIVERY", 0, 10, Align::right,
     if_known<&Event::has_delivery_rate_bps, &Event::delivery_rate_bps, human_bit_rate>},
    {"TIMELINE", 0, 60, Align::left, timeline},
    {"PARTIAL", 0, 20, Align::left, partial},
    {"EXECUTABLE", 0, 10, Align::left, executable},
};

// Of connections that are open: no ends, but queues.
const Column<Event> open_columns[] = {
    {"ROLE", 6, 6, Align::left, role},
    {"PROCESS[PID]", process_width, process_width, Align::left, process},
    {"LOCAL → REMOTE", 43, 43, Align::left, endpoints},
    {"STATE", 11, 11, Align::left, state},
    // Of what is not established yet: how long it has been tried.
    {"AGE", 6, 6, Align::right, if_known<&Event::has_lifetime_us, &Event::lifetime_us, human_duration>},
    {"IDLE", 6, 6, Align::right, if_known<&Event::has_idle_us, &Event::idle_us, human_duration>},
    {"SENT", 6, 6, Align::right, if_known<&Event::has_bytes_sent, &Event::bytes_sent, human_bytes>},
    {"RECEIVED", 8, 8, Align::right,
     if_known<&Event::has_bytes_received, &Event::bytes_received, human_bytes>},
    {"SENDQ", 6, 6, Align::right,
     if_known<&Event::has_send_queue_bytes, &Event::send_queue_bytes, human_bytes>},
    {"RECVQ", 6, 6, Align::right,
     if_known<&Event::has_receive_queue_bytes, &Event::receive_queue_bytes, human_bytes>},
    {"RTT", 6, 6, Align::right, if_known<&Event::has_rtt_us, &Event::rtt_us, human_duration>},
    {"RETR", 4, 4, Align::right, if_known<&Event::has_retransmits, &Event::retransmits, number>},
    {"NETNS", 0, 10, Align::left, netns},
    {"CONTAINER", 0, container_width, Align::left, container},
    {"UNIT", 0, unit_width, Align::left, unit},
    {"POD", 0, pod_width, Align::left, pod},
    {"UID", 0, 5, Align::left, uid},
    {"CONNECT", 0, 7, Align::right, if_known<&Event::has_connect_us, &Event::connect_us, human_duration>},
    {"CONGESTION", 0, 10, Align::left, congestion},
    {"CWND", 0, 5, Align::right, if_known<&Event::has_cwnd, &Event::cwnd, number>},
    {"DELIVERY", 0, 10, Align::right,
     if_known<&Event::has_delivery_rate_bps, &Event::delivery_rate_bps, human_bit_rate>},
    {"PARTIAL", 0, 20, Align::left, partial},
    {"EXECUTABLE", 0, 10, Align::left, executable},
};

}  // namespace

std::string table_header(bool wide) {
    return titles(columns, wide);
}
std::string table_line(const ConnectionEvent& event, bool wide) {
    return cells(columns, event, wide);
}

std::string open_table_header(bool wide) {
    return titles(open_columns, wide);
}
std::string open_table_line(const ConnectionEvent& event, bool wide) {
    return cells(open_columns, event, wide);
}

}  // namespace tcptrail::encode
