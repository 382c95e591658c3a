// SPDX-License-Identifier: Apache-2.0
//
// agent/base: event loop, clocks, counters, descriptors and errors.
#include "agent/base/event_loop.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/counter.h"
#include "agent/base/fd.h"
#include "tests/catch.h"

using namespace tcptrail;
using namespace std::chrono_literals;

namespace {

bool is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

Fd make_event(unsigned value = 0) {
    Fd fd(eventfd(value, EFD_CLOEXEC | EFD_NONBLOCK));
    REQUIRE(fd.valid());
    return fd;
}

EventLoop make_loop() {
    auto loop = EventLoop::create();
    REQUIRE(loop);
    return std::move(*loop);
}

uint64_t take(const Fd& event) {
    uint64_t value = 0;
    return read(event.get(), &value, sizeof value) == sizeof value ? value : 0;
}

void give(const Fd& event) {
    const uint64_t one = 1;
    REQUIRE(write(event.get(), &one, sizeof one) == sizeof one);
}

// Blocks of signals are inherited by all that comes later: put back.
class SavedSignals {
public:
    SavedSignals() { pthread_sigmask(SIG_SETMASK, nullptr, &mask_); }
    ~SavedSignals() { pthread_sigmask(SIG_SETMASK, &mask_, nullptr); }
    SavedSignals(const SavedSignals&) = delete;
    SavedSignals& operator=(const SavedSignals&) = delete;

private:
    sigset_t mask_;
};

}  // namespace

TEST_CASE("fd: closes what it owns, once", "[unit]") {
    const int raw = make_event().get();
    CHECK_FALSE(is_open(raw));

    Fd first = make_event();
    const int kept = first.get();
    Fd second(std::move(first));
    CHECK(is_open(kept));
    CHECK(second.get() == kept);
    CHECK(first.get() == -1);  // NOLINT(bugprone-use-after-move): that is what is tested
    CHECK_FALSE(first.valid());

    Fd third = make_event();
    const int replaced = third.get();
    third = std::move(second);
    CHECK_FALSE(is_open(replaced));
    CHECK(third.get() == kept);
    Fd& same = third;
    third = std::move(same);  // onto itself
    CHECK(is_open(kept));
    CHECK(third.get() == kept);
    third.reset();
    CHECK_FALSE(is_open(kept));
    third.reset();
    CHECK_FALSE(Fd().valid());
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<Fd>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<int, Fd>);
}

TEST_CASE("counter: one adds, any reads", "[unit]") {
    Counter counter;
    CHECK(counter.get() == 0);
    std::thread writer([&] {
        for (int i = 0; i < 100000; ++i)
            counter.add();
    });
    uint64_t last = 0;
    for (int i = 0; i < 1000; ++i) {
        const uint64_t now = counter.get();
        REQUIRE(now >= last);
        last = now;
    }
    writer.join();
    counter.add(5);
    CHECK(counter.get() == 100005);
    counter.set(7);
    CHECK(counter.get() == 7);
}

TEST_CASE("clock: nanoseconds, and the offset fits the clocks", "[unit]") {
    const uint64_t monotonic = monotonic_nanos(), boot = boot_nanos();
    CHECK(boot >= monotonic);  // it also counts suspend
    std::this_thread::sleep_for(2ms);
    CHECK(boot_nanos() - boot >= 2'000'000);
    CHECK(monotonic_nanos() - monotonic >= 2'000'000);
    const uint64_t wall = boot_nanos() + boot_to_unix_offset(), now = unix_nanos();
    CHECK((now > wall ? now - wall : wall - now) < 1'000'000'000);
}

TEST_CASE("error: errno by its words, and context from further out", "[unit]") {
    auto error = fail_errno("open /x", ENOENT).error();
    CHECK(error.message == "open /x: No such file or directory");
    CHECK(error.code == ExitCode::failure);
    error = fail("no BTF", ExitCode::unavailable).error();
    const Error outer = std::move(error).within("capture");
    CHECK(outer.message == "capture: no BTF");
    CHECK(outer.code == ExitCode::unavailable);
}

TEST_CASE("event loop: calls back while a descriptor is readable", "[unit]") {
    EventLoop loop = make_loop();
    const Fd event = make_event(1);
    int calls = 0;
    REQUIRE(loop.on_readable(event.get(), [&] {
        if (++calls < 3) return;  // not taken yet: called again
        CHECK(take(event) == 1);
        loop.stop();
    }));
    REQUIRE(loop.run());
    CHECK(calls == 3);
}

TEST_CASE("event loop: stops at once, and can run again", "[unit]") {
    EventLoop loop = make_loop();
    const Fd first = make_event(1), second = make_event(1);
    int calls = 0;
    for (const Fd* event : {&first, &second})
        REQUIRE(loop.on_readable(event->get(), [&, event] {
            take(*event);
            ++calls;
            loop.stop();
        }));
    REQUIRE(loop.run());
    CHECK(calls == 1);  // the other one was readable too
    REQUIRE(loop.run());
    CHECK(calls == 2);
}

TEST_CASE("event loop: a callback may add a source", "[unit]") {
    EventLoop loop = make_loop();
    const Fd event = make_event(1);
    bool added = false;
    REQUIRE(loop.on_readable(event.get(), [&] {
        take(event);
        for (int i = 0; i < 20; ++i)
            REQUIRE(loop.every(1h, [] {}));
        REQUIRE(loop.every(1ms, [&] {
            added = true;
            loop.stop();
        }));
    }));
    REQUIRE(loop.run());
    CHECK(added);
}

TEST_CASE("event loop: it may be moved after sources were added", "[unit]") {
    EventLoop first = make_loop();
    const Fd event = make_event(1);
    EventLoop* running = nullptr;
    REQUIRE(first.every(1ms, [&] { running->stop(); }));
    EventLoop second(std::move(first));
    running = &second;
    REQUIRE(second.run());
}

TEST_CASE("event loop: timers", "[unit]") {
    EventLoop loop = make_loop();
    SECTION("come again and again, the first one after an interval") {
        std::vector<uint64_t> times{monotonic_nanos()};
        REQUIRE(loop.every(5ms, [&] {
            times.push_back(monotonic_nanos());
            if (times.size() == 4) loop.stop();
        }));
        REQUIRE(loop.run());
        CHECK(times[1] - times[0] >= 5'000'000);
        CHECK(times[3] - times[0] >= 15'000'000);
    }
    SECTION("several expirations at once are one call") {
        int calls = 0;
        REQUIRE(loop.every(2ms, [&] {
            if (++calls == 1)
                std::this_thread::sleep_for(30ms);
            else
                loop.stop();
        }));
        REQUIRE(loop.run());
        CHECK(calls == 2);
    }
    SECTION("of more than a second") {
        REQUIRE(loop.every(1500ms, [] {}));
        REQUIRE(loop.every(3ms, [&] { loop.stop(); }));
        CHECK(loop.run());
    }
    SECTION("a negative interval is refused") {
        CHECK_FALSE(loop.every(-1ms, [] {}));
    }
}

TEST_CASE("event loop: soon is once, and after what is ready by then", "[unit]") {
    EventLoop loop = make_loop();
    const Fd event = make_event(1);
    std::string order;
    int pieces = 0;
    std::function<void()> work = [&] {
        order += 'w';
        if (++pieces < 100) loop.soon(work);
    };
    loop.soon(work);
    REQUIRE(loop.on_readable(event.get(), [&] {
        order += 'e';
        if (pieces == 100)
            loop.stop();
        else if (pieces == 3)
            take(event);
    }));
    REQUIRE(loop.every(20ms, [&] {
        if (pieces == 100) give(event);
    }));
    REQUIRE(loop.run());
    CHECK(order == "ewewewe" + std::string(97, 'w') + "e");
}

TEST_CASE("event loop: work that always comes again lets timers and stop have their turn", "[unit]") {
    EventLoop loop = make_loop();
    uint64_t pieces = 0, after = 0;
    int ticks = 0;
    bool stopped = false;
    std::function<void()> work = [&] {
        ++pieces;
        if (stopped) ++after;
        std::this_thread::sleep_for(1ms);
        loop.soon(work);
    };
    loop.soon(work);
    REQUIRE(loop.every(5ms, [&] {
        if (++ticks < 5) return;
        stopped = true;
        loop.stop();
    }));
    REQUIRE(loop.run());
    CHECK(ticks == 5);
    CHECK(pieces > 5);
    CHECK(after == 0);
}

TEST_CASE("event loop: signals", "[unit]") {
    const SavedSignals saved;
    EventLoop loop = make_loop();
    std::vector<int> seen;
    REQUIRE(loop.on_signals({SIGUSR1, SIGUSR2}, [&](int signal) {
        seen.push_back(signal);
        if (seen.size() == 2) loop.stop();
    }));
    // Blocked: they would end this process. To this thread alone; others may be there.
    REQUIRE(pthread_kill(pthread_self(), SIGUSR1) == 0);
    REQUIRE(pthread_kill(pthread_self(), SIGUSR2) == 0);
    REQUIRE(loop.run());
    CHECK(seen == std::vector<int>{SIGUSR1, SIGUSR2});
}

TEST_CASE("event loop: a descriptor that cannot be watched is an error", "[unit]") {
    EventLoop loop = make_loop();
    CHECK_FALSE(loop.on_readable(-1, [] {}));
    const Fd event = make_event();
    REQUIRE(loop.on_readable(event.get(), [] {}));
    const auto twice = loop.on_readable(event.get(), [] {});
    REQUIRE_FALSE(twice);
    CHECK_THAT(twice.error().message, Catch::Matchers::ContainsSubstring("epoll_ctl"));
}

TEST_CASE("event loop: woken from another thread", "[unit]") {
    EventLoop loop = make_loop();
    const Fd event = make_event();
    REQUIRE(loop.on_readable(event.get(), [&] {
        take(event);
        loop.stop();
    }));
    std::thread other([&] {
        std::this_thread::sleep_for(5ms);
        give(event);
    });
    const auto result = loop.run();
    other.join();
    CHECK(result);
}
