// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <string_view>
#include <utility>

#include "agent/encode/humanize.h"
#include "agent/encode/printable.h"
#include "agent/encode/text_forms.h"

namespace tcptrail::encode {
namespace {

using v1::ConnectionEvent;

constexpr std::string_view absent = "-";
constexpr size_t process_width = 20;
constexpr size_t container_width = 12;

std::string or_absent(std::string text) {
    return text.empty() ? std::string(absent) : text;
}

std::string time_of_day(const ConnectionEvent& event) {
    const uint64_t nanos =
        event.has_ended_unix_nanos() ? event.ended_unix_nanos() : event.emitted_unix_nanos();
    if (nanos == 0) return std::string(absent);
    const auto seconds = static_cast<time_t>(nanos / 1'000'000'000);
    struct tm local = {};
    localtime_r(&seconds, &local);
    return fmt::format("{:02}:{:02}:{:02}.{:03}", local.tm_hour, local.tm_min, local.tm_sec,
                       nanos / 1'000'000 % 1000);
}

std::string role(const ConnectionEvent& event) {
    if (event.role() == v1::ROLE_CLIENT) return "client";
    if (event.role() == v1::ROLE_SERVER) return "server";
    return std::string(absent);
}

// The pid stays whole: a long name gives way.
std::string process(const ConnectionEvent& event) {
    const auto& process = event.process();
    if (process.pid() == 0 && process.name().empty()) return std::string(absent);
    const std::string pid = process.pid() == 0 ? "[-]" : fmt::format("[{}]", process.pid());
    return cut(or_absent(printable(process.name())), process_width - pid.size()) + pid;
}

std::string endpoint(const std::string& address, uint32_t port) {
    if (address.empty()) return std::string(absent);
    const bool brackets = address.find(':') != std::string::npos;
    return fmt::format("{}{}{}:{}", brackets ? "[" : "", printable(address), brackets ? "]" : "",
                       port == 0 ? std::string(absent) : std::to_string(port));
}

std::string endpoints(const ConnectionEvent& event) {
    return fmt::format("{} → {}", endpoint(event.local_address(), event.local_port()),
                       endpoint(event.remote_address(), event.remote_port()));
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

std::string netns(const ConnectionEvent& event) {
    return event.netns() == 0 ? std::string(absent) : std::to_string(event.netns());
}

std::string container(const ConnectionEvent& event) {
    return or_absent(printable(event.process().container_id().substr(0, container_width)));
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

enum class Align { left, right };

struct Column {
    std::string_view title;
    size_t width;       // in the table; 0: not there
    size_t wide_width;  // in the wide table; 0: not there
    Align align;
    std::string (*cell)(const ConnectionEvent&);
};

// The cell of an optional field.
template <auto has, auto get, auto show>
std::string if_known(const ConnectionEvent& event) {
    return (event.*has)() ? show((event.*get)()) : std::string(absent);
}

std::string number(uint32_t n) {
    return std::to_string(n);
}

using Event = ConnectionEvent;
const Column columns[] = {
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

// A line under construction. Every column has its place; a cell that is too long pushes the next ones
// on only as far as their own padding does not make up for it.
class Line {
public:
    void add(std::string_view cell, size_t width, Align align) {
        const size_t cell_width = display_width(cell);
        const size_t slack = align == Align::right && cell_width < width ? width - cell_width : 0;
        const size_t begin = text_.empty() ? slack : std::max(column_ + slack, used_ + gap);
        text_.append(begin - used_, ' ');
        text_ += cell;
        used_ = begin + cell_width;
        column_ += width + gap;
    }
    std::string take() { return std::move(text_); }

private:
    static constexpr size_t gap = 2;
    std::string text_;
    size_t used_ = 0;    // columns of the terminal that text_ takes
    size_t column_ = 0;  // where the next column begins
};

template <class CellOf>
std::string line(bool wide, CellOf cell_of) {
    Line line;
    for (const auto& column : columns) {
        const size_t width = wide ? column.wide_width : column.width;
        if (width > 0) line.add(cell_of(column), width, column.align);
    }
    return line.take();
}

}  // namespace

std::string table_header(bool wide) {
    return line(wide, [](const Column& column) { return column.title; });
}

std::string table_line(const ConnectionEvent& event, bool wide) {
    return line(wide, [&](const Column& column) { return column.cell(event); });
}

}  // namespace tcptrail::encode
