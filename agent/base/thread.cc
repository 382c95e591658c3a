// SPDX-License-Identifier: Apache-2.0
#include "agent/base/thread.h"

#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace tcptrail {

SignalsBlocked::SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
}

SignalsBlocked::~SignalsBlocked() {
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

Result<std::jthread> start_thread(const char* name, std::function<void(std::stop_token)> body) {
    SignalsBlocked blocked;
    try {
        std::jthread thread(std::move(body));
        pthread_setname_np(thread.native_handle(), name);
        return thread;
    } catch (const std::system_error& error) {
        return fail_errno(std::string("cannot start the thread ") + name, error.code().value());
    }
}

// Linux has a niceness for each thread; 0 stands for the calling one.
Result<> boost_priority(uint32_t steps) {
    constexpr int least = -20;
    if (steps == 0) return {};
    const int niceness = std::max(getpriority(PRIO_PROCESS, 0) - static_cast<int>(steps), least);
    if (setpriority(PRIO_PROCESS, 0, niceness) != 0)
        return fail_errno("a niceness of " + std::to_string(niceness), errno);
    return {};
}

}  // namespace tcptrail
