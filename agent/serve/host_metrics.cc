// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <map>
#include <string>

#include "agent/serve/agent_metrics.h"

namespace tcptrail::serve {

namespace {

struct Queue {
    uint64_t waiting = 0, limit = 0, syns = 0, drops = 0;
};

// Those of one process at one address are one: several may share it (SO_REUSEPORT).
void write_listeners(Exposition& to, const v1::AgentReport& report) {
    std::map<std::string, Queue> queues;
    for (const v1::Listener& listener : report.listeners()) {
        Queue& queue = queues[Labels()
                                  .add("process", listener.name())
                                  .add("server_address", listener.local_address())
                                  .add("server_port", fmt::format("{}", listener.local_port()))
                                  .add("netns", fmt::format("{}", listener.netns()))
                                  .text()];
        queue.waiting += listener.accept_queue();
        queue.limit += listener.accept_queue_limit();
        queue.syns += listener.syn_queue();
        queue.drops += listener.drops();
    }
    const auto each = [&](auto figure) {
        for (const auto& [labels, queue] : queues)
            to.integer(labels, figure(queue));
    };
    to.gauge("tcptrail_listener_accept_queue", "Connections that wait for accept().");
    each([](const Queue& queue) { return queue.waiting; });
    to.gauge("tcptrail_listener_accept_queue_limit", "With more than so many the queue is full.");
    each([](const Queue& queue) { return queue.limit; });
    to.gauge("tcptrail_listener_syn_queue", "Attempts that are not established yet.");
    each([](const Queue& queue) { return queue.syns; });
    to.counter("tcptrail_listener_drops_total", "Segments of handshakes that the listener has dropped.");
    each([](const Queue& queue) { return queue.drops; });
    to.gauge("tcptrail_listeners_untold", "Listeners beyond the 256 that are shown: those in trouble first.");
    to.integer("", report.listeners_untold());
}

void write_namespaces(Exposition& to, const v1::AgentReport& report) {
    // `figure` says of a namespace what it has: nothing is left out.
    const auto each = [&](auto has, auto figure) {
        for (const v1::Namespace& space : report.namespaces())
            if (has(space))
                to.integer(Labels().add("netns", fmt::format("{}", space.netns())).text(), figure(space));
    };
    const auto always = [](const v1::Namespace&) { return true; };
    to.gauge("tcptrail_open_connections", "Ends of connections that are open, and attempts.");
    each(always, [](const v1::Namespace& space) { return space.open(); });
    to.gauge("tcptrail_time_wait_sockets", "Sockets in TIME_WAIT.");
    each([](const v1::Namespace& space) { return space.has_time_wait(); },
         [](const v1::Namespace& space) { return space.time_wait(); });
    to.gauge("tcptrail_local_ports", "Ports that connections may come from: net.ipv4.ip_local_port_range.");
    each(always, [](const v1::Namespace& space) {
        return uint64_t{space.local_port_last()} - space.local_port_first() + 1;
    });
    to.counter("tcptrail_listen_overflows_total", "Handshakes dropped as an accept queue was full.");
    each([](const v1::Namespace& space) { return space.has_listen_overflows(); },
         [](const v1::Namespace& space) { return space.listen_overflows(); });
    to.counter("tcptrail_listen_drops_total", "Handshakes dropped for any reason, these included.");
    each([](const v1::Namespace& space) { return space.has_listen_drops(); },
         [](const v1::Namespace& space) { return space.listen_drops(); });
    to.counter("tcptrail_syncookies_sent_total", "SYNs answered without a place in a queue.");
    each([](const v1::Namespace& space) { return space.has_syncookies_sent(); },
         [](const v1::Namespace& space) { return space.syncookies_sent(); });
}

void write_destinations(Exposition& to, const v1::AgentReport& report) {
    const auto labels = [](const v1::Destination& destination) {
        return Labels()
            .add("netns", fmt::format("{}", destination.netns()))
            .add("server_address", destination.remote_address())
            .add("server_port", fmt::format("{}", destination.remote_port()))
            .text();
    };
    to.gauge("tcptrail_destination_open_connections",
             "Clients' connections to the 64 destinations that use the most local ports.");
    for (const v1::Destination& destination : report.destinations())
        to.integer(labels(destination), destination.open());
    to.gauge("tcptrail_destination_time_wait_sockets", "Local ports that they hold in TIME_WAIT.");
    for (const v1::Destination& destination : report.destinations())
        to.integer(labels(destination), destination.time_wait());
    to.gauge("tcptrail_destination_local_port_use_ratio", "Both, of the local ports that there are.");
    for (const v1::Destination& destination : report.destinations())
        if (destination.has_port_range_use()) to.real(labels(destination), destination.port_range_use());
}

}  // namespace

void write_host(Exposition& to, const v1::AgentReport& report) {
    write_namespaces(to, report);
    write_destinations(to, report);
    write_listeners(to, report);
}

}  // namespace tcptrail::serve
