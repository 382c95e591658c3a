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

// Whether the calling thread may raise itself by so many steps of niceness: CAP_SYS_NICE, or RLIMIT_NICE.
Result<> may_be_raised(uint32_t steps);

// From raise() until it goes the calling thread has a niceness that is so many steps less, of several calls
// the most: where processors are short it gets more of one. Threads that it starts meanwhile inherit that.
// Where it may not, nothing changes.
class PriorityBoost {
public:
    PriorityBoost() = default;
    ~PriorityBoost();
    PriorityBoost(const PriorityBoost&) = delete;
    PriorityBoost& operator=(const PriorityBoost&) = delete;

    void raise(uint32_t steps);

private:
    uint32_t steps_ = 0;
    int before_ = 0;  // niceness, where steps_ is not 0
};

}  // namespace tcptrail
