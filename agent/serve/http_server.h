// SPDX-License-Identifier: Apache-2.0
//
// A small HTTP/1.1 server for those who look after the agent. README.md tells the rules.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/event_loop.h"
#include "agent/base/fd.h"
#include "agent/serve/http_request.h"
#include "agent/serve/listen_address.h"
#include "agent/serve/unix_listener.h"

namespace tcptrail::serve {

struct HttpResponse {
    int status = 200;
    std::string_view type = "text/plain; charset=utf-8";  // of a string that does not go away
    std::shared_ptr<const std::string> body;              // many may be sent the same
    std::string_view header = {};                         // one line more, with its end; does not go away

    static HttpResponse text(int status, std::string body) {
        return {.status = status, .body = std::make_shared<const std::string>(std::move(body))};
    }
};

// One request for each connection, then the end. Used by the thread of the event loop alone, which it never
// holds up: no call waits.
class HttpServer {
public:
    // Of a request without a flaw.
    using Answer = std::function<HttpResponse(const HttpRequest&)>;

    static constexpr size_t most_clients = 16;
    static constexpr size_t most_request_bytes = 8192;
    // For all of a request, without a byte taken of the answer, for all of an answer, and for the client's
    // own end.
    static constexpr uint64_t request_ns = 5'000'000'000, patience_ns = 5'000'000'000;
    static constexpr uint64_t answer_ns = 30'000'000'000, farewell_ns = 1'000'000'000;

    static Result<std::unique_ptr<HttpServer>> open(const ListenAddress& address, Answer answer);
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    // From now on. The loop must not run any more when this has gone.
    Result<> serve_in(EventLoop& loop);

private:
    enum class Stage { reading, answering, leaving };
    struct Client {
        Fd fd;
        Stage stage = Stage::reading;
        uint64_t began_ns = 0;     // the stage; CLOCK_MONOTONIC
        uint64_t progress_ns = 0;  // of the answer
        std::string text;          // of the request; then the head of the answer
        std::shared_ptr<const std::string> body;
        size_t sent = 0;  // of both
    };

    explicit HttpServer(Answer answer) : answer_(std::move(answer)) {}
    int listener() const { return path_listener_.fd().valid() ? path_listener_.fd().get() : fd_.get(); }
    Result<> listen_on(const ListenAddress& address);
    Result<> watch(int fd, uint32_t events, int operation);
    void on_ready();
    void accept_some();
    bool go_on(Client& client);
    bool read_request(Client& client);
    bool answer(Client& client, const ParsedRequest& parsed);
    bool send_more(Client& client);
    static bool take_leave(Client& client);
    void drop_slow();

    Answer answer_;
    Fd fd_;  // one of these two listens
    UnixListener path_listener_;
    bool listening_ = false;     // is in epoll_
    Fd epoll_;                   // of the listener and the clients: the loop sees only this
    std::list<Client> clients_;  // the oldest first
};

}  // namespace tcptrail::serve
