// SPDX-License-Identifier: Apache-2.0
#include "agent/encode/printable.h"
#include "agent/encode/text_columns.h"
#include "agent/encode/text_forms.h"

namespace tcptrail::encode {
namespace {

using v1::Listener;

template <auto get>
std::string number(const Listener& listener) {
    return std::to_string((listener.*get)());
}

template <auto has, auto get>
std::string if_known(const Listener& listener) {
    return (listener.*has)() ? std::to_string((listener.*get)()) : std::string(absent);
}

const Column<Listener> columns[] = {
    {"PROCESS[PID]", process_width, process_width, Align::left,
     [](const Listener& listener) { return process_cell(listener.name(), listener.pid()); }},
    {"LOCAL", 27, 27, Align::left,
     [](const Listener& listener) { return endpoint_cell(listener.local_address(), listener.local_port()); }},
    {"NETNS", 10, 10, Align::left, number<&Listener::netns>},
    {"ACCEPTQ", 7, 7, Align::right, number<&Listener::accept_queue>},
    {"LIMIT", 6, 6, Align::right, number<&Listener::accept_queue_limit>},
    {"SYNQ", 6, 6, Align::right, number<&Listener::syn_queue>},
    {"DROPS", 8, 8, Align::right, number<&Listener::drops>},
    {"OVERFLOWS", 9, 9, Align::right,
     if_known<&Listener::has_accept_queue_overflows, &Listener::accept_queue_overflows>},
    {"CONTAINER", 0, container_width, Align::left,
     [](const Listener& listener) {
         return container_cell(listener.container_name(), listener.container_id());
     }},
    {"UNIT", 0, unit_width, Align::left,
     [](const Listener& listener) { return or_absent(printable(listener.systemd_unit())); }},
    {"POD", 0, pod_width, Align::left,
     [](const Listener& listener) { return pod_cell(listener.pod_namespace(), listener.pod()); }},
    {"UID", 0, 5, Align::left,
     [](const Listener& listener) {
         return listener.has_uid() ? std::to_string(listener.uid()) : std::string(absent);
     }},
    {"EXECUTABLE", 0, 10, Align::left,
     [](const Listener& listener) { return or_absent(printable(listener.executable())); }},
};

}  // namespace

std::string listener_table_header(bool wide) {
    return titles(columns, wide);
}
std::string listener_table_line(const Listener& listener, bool wide) {
    return cells(columns, listener, wide);
}

}  // namespace tcptrail::encode
