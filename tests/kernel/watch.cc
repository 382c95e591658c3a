// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/watch.h"

#include <algorithm>
#include <iterator>

#include "tests/kernel/sockets.h"

namespace tcptrail::test {

namespace {

constexpr int usual_ms = 4'000;
// A connection of which no end was seen is told by a sweep, within about 10 s.
constexpr int sweep_ms = 15'000;
// How long a record too many may take.
constexpr int settle_ms = 250;

std::vector<Event> only_closed(const std::vector<Event>& events) {
    std::vector<Event> closed;
    std::ranges::copy_if(events, std::back_inserter(closed), &Event::is_closed);
    return closed;
}

size_t count_closed(const std::vector<Event>& events) {
    return static_cast<size_t>(std::ranges::count_if(events, &Event::is_closed));
}

}  // namespace

std::map<uint32_t, size_t>& looked_at() {
    static std::map<uint32_t, size_t> records;
    return records;
}

Watch::Watch(std::initializer_list<const Netns*> namespaces, Observer& observer)
    : observer_(observer), offset_(observer.end_of_lines()) {
    for (const Netns* net : namespaces)
        namespaces_.push_back(net->inode());
}

void Watch::pause() {
    sleep_ms(poll_ms);
}

void Watch::read() {
    for (const std::string& line : observer_.lines_from(offset_)) {
        if (std::ranges::find(namespaces_, netns_of(line)) != namespaces_.end()) {
            events_.push_back(parse_event(line));
        }
    }
}

std::vector<Event> Watch::closed(size_t count) {
    const auto enough = [=](const std::vector<Event>& events) { return count_closed(events) >= count; };
    wait_for(enough, usual_ms);
    if (!enough(events_)) wait_for(enough, sweep_ms - usual_ms);
    sleep_ms(settle_ms);
    read();

    std::vector<Event> closed = only_closed(events_);
    for (const Event& event : closed)
        ++looked_at()[netns_of(event.line)];
    for (const Event& event : closed) {
        if (event.in_blind_spot()) throw BlindSpot(event.line);
    }
    std::string lines;
    for (const Event& event : closed)
        lines += event.line + "\n";
    INFO("CLOSED records:\n" << lines);
    REQUIRE(closed.size() == count);
    return closed;
}

Ends Watch::ends() {
    std::vector<Event> both = closed(2);
    if (both[0].text("role") == "ROLE_SERVER") std::swap(both[0], both[1]);
    INFO(both[0].line << "\n" << both[1].line);
    REQUIRE(both[0].text("role") == "ROLE_CLIENT");
    REQUIRE(both[1].text("role") == "ROLE_SERVER");
    return {both[0], both[1]};
}

Event Watch::one() {
    return closed(1).front();
}

}  // namespace tcptrail::test
