// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csignal>
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

}  // namespace tcptrail
