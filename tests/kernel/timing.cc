// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/timing.h"

#include <algorithm>

namespace tcptrail::test {

namespace {

constexpr uint64_t never = UINT64_MAX;

// Two statements of one moment may be rounded apart, or read off the clock one after the other.
constexpr uint64_t rounding_us = 20;

// How far the wall clock of the record, which comes from the kernel's monotonic one, may be off ours.
constexpr uint64_t clock_nanos = 20'000'000;

bool differ(uint64_t a, uint64_t b) {
    return std::max(a, b) - std::min(a, b) > rounding_us;
}

std::string pair_text(const std::string& name, uint64_t value, const std::string& other, uint64_t against) {
    return name + " " + std::to_string(value) + " does not fit " + other + " " + std::to_string(against) +
           "\n";
}

std::vector<std::string> names_of(const std::vector<Step>& timeline) {
    std::vector<std::string> names;
    for (const Step& step : timeline)
        names.push_back(step.state);
    if (names.size() > 1 && names.back() == "CLOSE") names.pop_back();
    return names;
}

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words)
        text += " " + word;
    return text;
}

}  // namespace

uint64_t entered_at(const Event& event, const std::string& state) {
    const auto found = std::ranges::find(event.timeline, state, &Step::state);
    return found == event.timeline.end() ? never : found->at_us;
}

std::string timeline_differences(const Event& event, const std::vector<std::string>& states) {
    std::string found;
    const std::vector<std::string> names = names_of(event.timeline);
    if (names != states) found += "timeline:" + joined(names) + ", expected" + joined(states) + "\n";
    if (event.timeline.empty()) return found;

    if (event.timeline.front().at_us != 0) {
        found += "timeline begins at " + std::to_string(event.timeline.front().at_us) + "\n";
    }
    if (!std::ranges::is_sorted(event.timeline, {}, &Step::at_us)) found += "timeline goes back\n";
    const uint64_t end_us =
        (event.number("ended_unix_nanos").value_or(0) - event.number("opened_unix_nanos").value_or(0)) / 1000;
    const Step& last = event.timeline.back();
    if (last.at_us > end_us + rounding_us || (last.state == "CLOSE" && differ(last.at_us, end_us))) {
        found += pair_text("last step of timeline", last.at_us, "end", end_us);
    }
    const uint64_t established_us = entered_at(event, "ESTABLISHED");
    const uint64_t connect_us = event.number("connect_us").value_or(never);
    if (event.timeline.front().state == "SYN_SENT" && established_us != never && connect_us != never &&
        differ(established_us, connect_us)) {
        found += pair_text("ESTABLISHED in timeline", established_us, "connect_us", connect_us);
    }
    return found;
}

std::string time_differences(const Event& event, uint64_t earliest, uint64_t latest) {
    std::string found;
    const auto opened = event.number("opened_unix_nanos");
    const auto established = event.number("established_unix_nanos");
    const auto ended = event.number("ended_unix_nanos");
    const auto emitted = event.number("emitted_unix_nanos");
    if (!ended || !emitted) return found;  // told by the rules of these fields

    const uint64_t begin = opened.value_or(*ended);
    if (begin > established.value_or(begin)) found += "established before it was opened\n";
    if (established.value_or(begin) > *ended) found += "ended before it was established\n";
    if (*ended > *emitted + clock_nanos) found += "emitted before it ended\n";
    if (opened && *opened + clock_nanos < earliest) found += "opened before the test began\n";
    if (*emitted > latest + clock_nanos) found += "emitted in the future\n";

    const uint64_t whole_us = (*ended - begin) / 1000;
    const uint64_t lifetime_us = (*ended - established.value_or(begin)) / 1000;
    if (const auto told = event.number("lifetime_us"); told && differ(*told, lifetime_us)) {
        found += pair_text("lifetime_us", *told, "the time until the end", lifetime_us);
    }
    if (const auto told = event.number("connect_us"); told && opened && established) {
        const uint64_t connect_us = (*established - *opened) / 1000;
        // A server's socket may be there before its SYN-ACK, from which connect_us counts.
        const bool fits = event.text("role") == "ROLE_SERVER" ? *told <= connect_us + rounding_us
                                                              : !differ(*told, connect_us);
        if (!fits) found += pair_text("connect_us", *told, "the times", connect_us);
    }
    for (const char* moment : {"reset_us", "retransmit_first_us", "retransmit_last_us", "idle_us"}) {
        // The kernel's time of the last byte has a tick's precision.
        constexpr uint64_t tick_us = 10'000;
        if (const auto told = event.number(moment); told && *told > whole_us + tick_us) {
            found += pair_text(moment, *told, "the whole time", whole_us);
        }
    }
    if (event.number("retransmit_first_us").value_or(0) >
        event.number("retransmit_last_us").value_or(never)) {
        found += "last retransmit before the first\n";
    }
    return found;
}

}  // namespace tcptrail::test
