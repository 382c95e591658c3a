// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csignal>
#include <cstdint>
#include <functional>
#include <thread>

#include "agent/base/error.h"

namespace tcptrail {

// Keeps signals from the calling thread, and so from the threads that begin in its scope: signals are for the
// thread that expects them.
class SignalsBlocked {
public:
    SignalsBlocked();
    ~SignalsBlocked();
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

private:
    sigset_t before_;
};

// Starts a thread that takes no signals. `name` has at most 15 bytes.
Result<std::jthread> start_thread(const char* name, std::function<void(std::stop_token)> body);

// While it lives the calling thread has a niceness that is `steps` less: where processors are short it gets
// more of one. Threads that it starts meanwhile inherit that. Needs CAP_SYS_NICE.
class PriorityBoost {
public:
    explicit PriorityBoost(uint32_t steps);
    ~PriorityBoost();
    PriorityBoost(const PriorityBoost&) = delete;
    PriorityBoost& operator=(const PriorityBoost&) = delete;

    // An error: nothing was changed.
    const Result<>& result() const { return result_; }

private:
    int before_;
    Result<> result_;
};

}  // namespace tcptrail
