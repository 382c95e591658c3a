// SPDX-License-Identifier: Apache-2.0
#include "agent/base/event_loop.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace tcptrail {

Result<EventLoop> EventLoop::create() {
    Fd epoll(epoll_create1(EPOLL_CLOEXEC));
    if (!epoll.valid()) return fail_errno("epoll_create1", errno);
    return EventLoop(std::move(epoll));
}

Result<> EventLoop::on_readable(int fd, Callback callback) {
    return watch(fd, EPOLLIN, std::move(callback));
}

Result<> EventLoop::on_edge(int fd, Callback callback) {
    return watch(fd, EPOLLIN | EPOLLET, std::move(callback));
}

Result<> EventLoop::watch(int fd, uint32_t events, Callback callback) {
    auto source = std::make_unique<Source>(Source{fd, std::move(callback)});
    epoll_event event{};
    event.events = events;
    event.data.ptr = source.get();
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) return fail_errno("epoll_ctl", errno);
    sources_.push_back(std::move(source));
    return {};
}

Result<> EventLoop::every(std::chrono::milliseconds interval, Callback callback) {
    Fd timer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!timer.valid()) return fail_errno("timerfd_create", errno);
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(interval);
    itimerspec spec{};
    spec.it_interval.tv_sec = seconds.count();
    spec.it_interval.tv_nsec = std::chrono::nanoseconds(interval - seconds).count();
    spec.it_value = spec.it_interval;
    if (timerfd_settime(timer.get(), 0, &spec, nullptr) < 0) return fail_errno("timerfd_settime", errno);
    const int fd = timer.get();
    owned_.push_back(std::move(timer));
    return on_readable(fd, [fd, callback = std::move(callback)] {
        uint64_t expirations = 0;  // several at once are one call
        if (read(fd, &expirations, sizeof expirations) == sizeof expirations) callback();
    });
}

Result<> EventLoop::on_signals(std::initializer_list<int> signals, std::function<void(int)> callback) {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : signals)
        sigaddset(&set, signal);
    if (const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr))
        return fail_errno("pthread_sigmask", error);
    Fd receiver(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!receiver.valid()) return fail_errno("signalfd", errno);
    const int fd = receiver.get();
    owned_.push_back(std::move(receiver));
    return on_readable(fd, [fd, callback = std::move(callback)] {
        signalfd_siginfo info{};
        while (read(fd, &info, sizeof info) == sizeof info)
            callback(static_cast<int>(info.ssi_signo));
    });
}

Result<> EventLoop::run() {
    stopped_ = false;
    std::array<epoll_event, 16> events{};
    while (!stopped_) {
        const int n = epoll_wait(epoll_.get(), events.data(), events.size(), soon_.empty() ? -1 : 0);
        if (n < 0 && errno != EINTR) return fail_errno("epoll_wait", errno);
        for (int i = 0; i < n && !stopped_; ++i)
            static_cast<Source*>(events[i].data.ptr)->callback();
        // Whoever comes again from there has its turn after the next events.
        for (Callback& callback : std::exchange(soon_, {}))
            if (!stopped_) callback();
    }
    return {};
}

}  // namespace tcptrail
