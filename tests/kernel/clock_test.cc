// SPDX-License-Identifier: Apache-2.0
//
// Clocks that are set, stepped, exchanged, or stand still during a connection: faults 28 and 67. What the
// kernel side stamps with is CLOCK_BOOTTIME; wall-clock times are these stamps in the clock that is in force
// when they are told.
//
// Only in the guests of tests/vm: the clock of another machine is not ours to set.
#include <fcntl.h>
#include <signal.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/kernel/scenes.h"
#include "tests/kernel/timing.h"
#include "tests/kernel/watch.h"

using namespace tcptrail::test;

namespace {

constexpr int64_t second = 1'000'000'000;
constexpr int64_t year = 365 * 86'400 * second;
// What may lie between a moment and our look at the clock, in a guest.
constexpr uint64_t slack_us = 500'000;

bool in_guest() {
    return std::getenv("TESTS_IN_GUEST") != nullptr;
}

constexpr const char* not_ours = "it sets the clock of the machine: only in a guest of tests/vm";

int64_t now(clockid_t clock) {
    timespec time{};
    REQUIRE(clock_gettime(clock, &time) == 0);
    return time.tv_sec * second + time.tv_nsec;
}

// What the wall clock is ahead of the time since the boot.
int64_t wall_offset() {
    return now(CLOCK_REALTIME) - now(CLOCK_BOOTTIME);
}

void set_wall_offset(int64_t offset) {
    const int64_t wall = now(CLOCK_BOOTTIME) + offset;
    const timespec time{wall / second, wall % second};
    REQUIRE(clock_settime(CLOCK_REALTIME, &time) == 0);
}

void write_file(const std::string& path, const std::string& text) {
    const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    const ssize_t written = fd >= 0 ? write(fd, text.data(), text.size()) : -1;
    const int error = errno;
    close(fd);
    INFO(text << " to " << path << ": " << std::strerror(error));
    REQUIRE(written == static_cast<ssize_t>(text.size()));
}

std::vector<std::string> words_of(const std::string& path) {
    std::ifstream file(path);
    std::vector<std::string> words;
    for (std::string word; file >> word;)
        words.push_back(word);
    return words;
}

// Puts the clock right again, however the test ends.
class Clock {
public:
    Clock() : offset_(wall_offset()) {}
    ~Clock() {
        timex right{};
        right.modes = ADJ_FREQUENCY;
        (void)adjtimex(&right);
        const int64_t wall = now(CLOCK_BOOTTIME) + offset_;
        const timespec time{wall / second, wall % second};
        (void)clock_settime(CLOCK_REALTIME, &time);
    }
    Clock(const Clock&) = delete;
    Clock& operator=(const Clock&) = delete;

private:
    int64_t offset_;
};

// Durations within `whole_us`, times in their order and in the clock of now; `began`: CLOCK_BOOTTIME.
void check_times(const Event& event, int64_t began, uint64_t whole_us) {
    INFO(event.line);
    const auto earliest = static_cast<uint64_t>(began + wall_offset());
    CHECK(time_differences(event, earliest, unix_nanos()) == "");
    CHECK(event.number("opened_unix_nanos").value_or(0) < earliest + (whole_us + slack_us) * 1000);
    CHECK(std::ranges::is_sorted(event.timeline, {}, &Step::at_us));
    for (const auto& [field, value] : event.fields) {
        if (!field.ends_with("_us")) continue;
        INFO(field);
        CHECK(std::stoull(value) <= whole_us + slack_us);
    }
}

// A connection during which something happens to the clock; then its records, which are checked.
Ends live(Observer& observer, Actor& client, Actor& server, const std::function<void()>& happens) {
    Watch watch({&client.net()}, observer);
    const int64_t began = now(CLOCK_BOOTTIME);
    const Connection made = establish(client, server, loopback(AF_INET));
    const int64_t opened = now(CLOCK_BOOTTIME);
    exchange(client, server, made, 100, 200);
    sleep_ms(200);
    happens();
    exchange(client, server, made, 100, 200);
    const int64_t closing = now(CLOCK_BOOTTIME);
    close_socket(client, made.client_fd);
    close_after_peer(server, made.server_fd);
    const Ends told = watch.ends();
    const auto least_us = static_cast<uint64_t>(closing - opened) / 1000;
    const auto whole_us = static_cast<uint64_t>(now(CLOCK_BOOTTIME) - began) / 1000;
    for (const Event* event : {&told.client, &told.server}) {
        check_times(*event, began, whole_us);
        CHECK(event->number("lifetime_us").value_or(0) >= least_us);
        CHECK(event->number("lifetime_us").value_or(0) <= whole_us);
        CHECK(event->number("bytes_sent").value_or(0) + event->number("bytes_received").value_or(0) == 600);
    }
    return told;
}

}  // namespace

TEST_CASE("fault 28: the clock is set by a year, on and back, during connections", "[.guest]") {
    if (!in_guest()) SKIP_TEST(not_ours);
    scenario([] {
        const Clock clock;
        const int64_t right = wall_offset();
        Observer observer;
        Netns net;
        Actor server(net, "year-server");
        Actor client(net, "year-client");
        uint64_t sequence = 0, emitted = 0;
        int went_back = 0;
        for (const int64_t offset : {right + year, right, right - year, right}) {
            const Ends told = live(observer, client, server, [&] { set_wall_offset(offset); });
            // The order is that of the run's sequence, whatever the clock says.
            const uint64_t first = std::min(*told.client.number("sequence"), *told.server.number("sequence"));
            CHECK(first > sequence);
            sequence = std::max(*told.client.number("sequence"), *told.server.number("sequence"));
            if (*told.client.number("emitted_unix_nanos") < emitted) ++went_back;
            emitted = *told.client.number("emitted_unix_nanos");
            CHECK(told.client.text("boot_id") == told.server.text("boot_id"));
        }
        CHECK(went_back == 2);
        const Summary summary = observer.stop(SIGINT);
        CHECK(summary.seen == summary.told + summary.lost);
        CHECK(summary.lost == 0);
    });
}

TEST_CASE("fault 28: NTP steps and slews the clock during connections", "[.guest]") {
    if (!in_guest()) SKIP_TEST(not_ours);
    scenario([] {
        const Clock clock;
        Observer observer;
        Netns net;
        Actor server(net, "ntp-server");
        Actor client(net, "ntp-client");
        for (const int64_t step_ms : {700, -700}) {
            const int64_t before = wall_offset();
            live(observer, client, server, [&] {
                timex step{};
                step.modes = ADJ_SETOFFSET | ADJ_NANO | ADJ_FREQUENCY;
                step.time.tv_sec = step_ms < 0 ? -1 : 0;
                step.time.tv_usec = (step_ms < 0 ? 1000 + step_ms : step_ms) * 1'000'000;
                step.freq = (step_ms < 0 ? -500 : 500) * 65'536L;  // millionths
                REQUIRE(adjtimex(&step) >= 0);
                sleep_ms(300);
            });
            const int64_t stepped_ms = (wall_offset() - before) / 1'000'000;
            CHECK(std::abs(stepped_ms - step_ms) < 50);
        }
    });
}

TEST_CASE("fault 67: the clock source is exchanged during connections", "[.guest]") {
    if (!in_guest()) SKIP_TEST(not_ours);
    const std::string folder = "/sys/devices/system/clocksource/clocksource0/";
    const auto sources = words_of(folder + "available_clocksource");
    const auto current = words_of(folder + "current_clocksource");
    if (sources.size() < 2)
        SKIP_TEST("there is only one clock source: " + (sources.empty() ? "" : sources[0]));
    scenario([&] {
        constexpr int each = 50, rounds = 3;
        Observer observer;
        Netns net, other;
        Watch others({&other}, observer);
        Actor server(net, "source-server");
        Actor client(net, "source-client");
        Actor many_server(other, "sources-server");
        Actor many_client(other, "sources-client");
        const int64_t began = now(CLOCK_BOOTTIME);
        std::string used;
        live(observer, client, server, [&] {
            for (int round = 0; round < rounds; ++round)
                for (const std::string& source : sources) {
                    write_file(folder + "current_clocksource", source);
                    used += " " + words_of(folder + "current_clocksource").at(0);
                    burst(many_client, many_server, each);
                }
        });
        write_file(folder + "current_clocksource", current.at(0));
        const size_t ends = 2 * each * rounds * sources.size();
        const auto told = others.closed(ends);
        const auto whole_us = static_cast<uint64_t>(now(CLOCK_BOOTTIME) - began) / 1000;
        for (const Event& event : told)
            check_times(event, began, whole_us);
        WARN(told.size() << " ends, clock sources in this order:" << used);
    });
}

// Suspend to memory. Suspend to idle (freeze) is not tried: under qemu's tcg no alarm ends it.
TEST_CASE("fault 28: the machine sleeps during connections", "[.guest]") {
    if (!in_guest()) SKIP_TEST(not_ours);
    const std::string alarm = "/sys/class/rtc/rtc0/wakealarm";
    if (access(alarm.c_str(), W_OK) != 0) SKIP_TEST("there is no alarm to wake the guest up");
    const auto states = words_of("/sys/power/state");
    if (std::ranges::find(states, "mem") == states.end()) SKIP_TEST("this kernel cannot suspend to memory");
    scenario([&] {
        constexpr int64_t sleep_seconds = 5;
        Observer observer;
        Netns net;
        Actor server(net, "sleep-server");
        Actor client(net, "sleep-client");
        int64_t slept = 0;
        const Ends told = live(observer, client, server, [&] {
            const int64_t ahead = now(CLOCK_BOOTTIME) - now(CLOCK_MONOTONIC);
            write_file(alarm, "0");
            write_file(alarm, "+" + std::to_string(sleep_seconds));
            write_file("/sys/power/state", "mem");
            slept = now(CLOCK_BOOTTIME) - now(CLOCK_MONOTONIC) - ahead;
        });
        WARN("slept for " << slept / 1'000'000 << " ms, lifetime "
                          << told.client.number("lifetime_us").value_or(0) / 1000 << " ms");
        CHECK(slept > second);
        CHECK(told.client.number("lifetime_us").value_or(0) > static_cast<uint64_t>(slept / 1000));
        // It goes on as before.
        live(observer, client, server, [] {});
    });
}
