// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <initializer_list>
#include <memory>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/fd.h"

namespace tcptrail {

// epoll over descriptors, timers and signals. All of it runs on the thread that calls run().
class EventLoop {
public:
    using Callback = std::function<void()>;

    static Result<EventLoop> create();

    // Calls back while `fd` is readable. The descriptor stays the caller's and must outlive the loop.
    Result<> on_readable(int fd, Callback callback);
    // Calls back each time `fd` becomes readable, or more so: not again for what was left unread.
    Result<> on_edge(int fd, Callback callback);
    Result<> every(std::chrono::milliseconds interval, Callback callback);
    // Calls back once, when what is ready by then has had its turn: for work that is done in pieces.
    void soon(Callback callback) { soon_.push_back(std::move(callback)); }
    // Blocks the signals in the calling thread (threads made later inherit that) and calls back with each.
    Result<> on_signals(std::initializer_list<int> signals, std::function<void(int)> callback);

    // Runs until stop().
    Result<> run();
    void stop() { stopped_ = true; }

private:
    struct Source {
        int fd = -1;
        Callback callback;
    };

    Result<> watch(int fd, uint32_t events, Callback callback);

    explicit EventLoop(Fd epoll) : epoll_(std::move(epoll)) {}

    Fd epoll_;
    std::vector<std::unique_ptr<Source>> sources_;
    std::vector<Fd> owned_;
    std::vector<Callback> soon_;
    bool stopped_ = false;
};

}  // namespace tcptrail
