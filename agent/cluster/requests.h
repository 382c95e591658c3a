// SPDX-License-Identifier: Apache-2.0
//
// Asks the API server by HTTP, several things at once on one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/cluster/curl.h"
#include "agent/cluster/options.h"
#include "agent/cluster/watch.h"

namespace tcptrail::cluster {

// Used by one thread, but for wake().
class Requests {
public:
    // Where the server is: "https://host:port".
    static Result<std::string> find_server(const Options& options);
    static Result<std::unique_ptr<Requests>> create(const Options& options, std::string server);
    ~Requests();
    Requests(const Requests&) = delete;
    Requests& operator=(const Requests&) = delete;

    struct Taker {
        // A piece of the body, at first an empty one; false: no more.
        std::function<bool(long status, std::string_view piece)> piece;
        std::function<void(const Answer&)> end;
    };
    // The token is read anew for each: a kubelet renews it.
    void start(const Request& request, Taker taker);
    // Gives takers what has come; waits up to so long for something.
    void run(std::chrono::milliseconds longest);
    // Ends a wait of run(); from any thread.
    void wake() { curl_.multi_wakeup(multi_); }

private:
    struct Transfer;

    Requests(const Curl& curl, const Options& options, std::string server);
    void finish(CURL* easy, CURLcode code);

    const Curl& curl_;
    Options options_;
    std::string server_;
    CURLM* multi_;
    std::vector<std::unique_ptr<Transfer>> transfers_;
};

}  // namespace tcptrail::cluster
