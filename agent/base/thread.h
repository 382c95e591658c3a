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

// Takes `steps` from the calling thread's niceness: where processors are short it gets more of one. Threads
// that it starts later inherit that. Nothing is changed where it must not be: that needs CAP_SYS_NICE.
Result<> boost_priority(uint32_t steps);

}  // namespace tcptrail
