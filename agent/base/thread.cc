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

namespace {

// Linux has a niceness for each thread; 0 stands for the calling one.
int own_niceness() {
    return getpriority(PRIO_PROCESS, 0);
}

Result<> set_own_niceness(int niceness) {
    if (setpriority(PRIO_PROCESS, 0, niceness) == 0) return {};
    return fail_errno("a niceness of " + std::to_string(niceness), errno);
}

int raised(int niceness, uint32_t steps) {
    constexpr int least = -20;
    return std::max(niceness - static_cast<int>(steps), least);
}

}  // namespace

Result<> may_be_raised(uint32_t steps) {
    const int before = own_niceness();
    auto result = set_own_niceness(raised(before, steps));
    if (result) result = set_own_niceness(before);
    return result;
}

void PriorityBoost::raise(uint32_t steps) {
    if (steps <= steps_) return;
    if (!steps_) before_ = own_niceness();
    steps_ = steps;
    (void)set_own_niceness(raised(before_, steps));
}

PriorityBoost::~PriorityBoost() {
    if (steps_) (void)set_own_niceness(before_);
}

}  // namespace tcptrail
