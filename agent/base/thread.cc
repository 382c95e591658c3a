// SPDX-License-Identifier: Apache-2.0
#include "agent/base/thread.h"

#include <pthread.h>

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

}  // namespace tcptrail
