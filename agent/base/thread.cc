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
PriorityBoost::PriorityBoost(uint32_t steps) : before_(getpriority(PRIO_PROCESS, 0)) {
    constexpr int least = -20;
    const int niceness = std::max(before_ - static_cast<int>(steps), least);
    if (niceness != before_ && setpriority(PRIO_PROCESS, 0, niceness) != 0)
        result_ = fail_errno("a niceness of " + std::to_string(niceness), errno);
}

PriorityBoost::~PriorityBoost() {
    setpriority(PRIO_PROCESS, 0, before_);
}

}  // namespace tcptrail
