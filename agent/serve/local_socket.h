// SPDX-License-Identifier: Apache-2.0
//
// A Unix socket on which a running agent says how it is. README.md tells the rules.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "agent/base/error.h"
#include "agent/base/event_loop.h"
#include "agent/base/fd.h"
#include "agent/serve/unix_listener.h"

namespace tcptrail::serve {

// Whoever connects gets the answer of that moment, and the end. Used by the thread of the event loop alone,
// which it never holds up: no call waits.
class LocalSocket {
public:
    using Answer = std::function<std::string()>;

    static constexpr size_t most_clients = 8;
    static constexpr uint64_t patience_ns = 5'000'000'000;  // without a byte taken

    // Makes the socket at `path`, as UnixListener does. It goes with this.
    static Result<std::unique_ptr<LocalSocket>> open(const std::string& path, Answer answer);
    LocalSocket(const LocalSocket&) = delete;
    LocalSocket& operator=(const LocalSocket&) = delete;

    // From now on. The loop must not run any more when this has gone.
    Result<> serve_in(EventLoop& loop);

private:
    struct Client {
        Fd fd;
        std::string text;
        size_t sent = 0;
        uint64_t progress_ns;  // CLOCK_MONOTONIC
    };

    explicit LocalSocket(Answer answer) : answer_(std::move(answer)) {}
    Result<> watch(int fd, uint32_t events);
    void on_ready();
    void accept_some();
    bool send_more(Client& client);
    void drop_slow();

    Answer answer_;
    UnixListener listener_;
    bool listening_ = false;     // is in epoll_
    Fd epoll_;                   // of the listener and the clients: the loop sees only this
    std::list<Client> clients_;  // the oldest first
};

// What whoever serves at `path` says. Waits up to `timeout`. ExitCode::unavailable: nobody does.
Result<std::string> ask(const std::string& path, std::chrono::milliseconds timeout);

}  // namespace tcptrail::serve
