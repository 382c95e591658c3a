// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/watch.h"

#include <algorithm>
#include <utility>

#include "tests/kernel/sockets.h"

namespace tcptrail::test {

namespace {

constexpr int poll_ms = 10;
// A connection of which no end was seen is told by a sweep, within about 10 s; a busy machine takes
// longer for everything.
constexpr int sweep_ms = 30'000;
// How long a record too many may take.
constexpr int settle_ms = 250;

}  // namespace

LookedAt& looked_at() {
    static LookedAt records;
    return records;
}

std::pair<uint32_t, uint64_t> whose(const Event& event) {
    return {netns_of(event.line), event.number("process.pid").value_or(0)};
}

Watch::Watch(std::initializer_list<const Netns*> namespaces, Observer& observer)
    : observer_(observer), offset_(observer.end_of_lines()) {
    for (const Netns* net : namespaces)
        namespaces_.push_back(net->inode());
}

void Watch::only_of(std::initializer_list<const Actor*> owners) {
    for (const Actor* owner : owners)
        owners_.push_back(static_cast<uint64_t>(owner->pid()));
}

void Watch::read() {
    for (const std::string& line : observer_.lines_from(offset_)) {
        if (std::ranges::find(namespaces_, netns_of(line)) == namespaces_.end()) continue;
        Event event = parse_event(line);
        if (!event.closed) continue;
        const auto pid = event.number("process.pid");
        if (pid && !owners_.empty() && std::ranges::find(owners_, *pid) == owners_.end()) continue;
        if (&observer_ == &shared_observer()) looked_at()[whose(event)].insert(line);
        closed_.push_back(std::move(event));
    }
}

const std::vector<Event>& Watch::wait_for(size_t count, int quiet_ms) {
    for (int waited = 0;; waited += poll_ms) {
        const size_t before = closed_.size();
        read();
        if (closed_.size() > before) waited = 0;
        if (closed_.size() >= count || waited >= quiet_ms) return closed_;
        sleep_ms(poll_ms);
    }
}

std::vector<Event> Watch::closed(size_t count) {
    wait_for(count, sweep_ms);
    sleep_ms(settle_ms);
    read();

    std::string lines;
    for (const Event& event : closed_)
        lines += event.line + "\n";
    for (const Event& event : closed_) {
        if (event.in_blind_spot()) throw BlindSpot(event.line);
    }
    INFO("CLOSED records:\n" << lines);
    REQUIRE(closed_.size() == count);
    return closed_;
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
