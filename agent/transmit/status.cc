// SPDX-License-Identifier: Apache-2.0
#include "agent/transmit/status.h"

#include <chrono>

namespace tcptrail::transmit {

namespace {

uint64_t now_unix_nanos() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<uint64_t>(std::chrono::nanoseconds(now).count());
}

}  // namespace

void StatusBoard::failure(const std::string& text, const std::string& error) {
    MutexLock lock(mutex_);
    problem_ = last_error_ = text;
    problem_error_ = error;
    last_error_unix_nanos_ = now_unix_nanos();
    troubled_ = true;
}

void StatusBoard::renewed(const std::string& text) {
    MutexLock lock(mutex_);
    renewals_++;
    renewal_ = text;
    renewal_failed_ = false;
}

void StatusBoard::not_renewed(const std::string& text) {
    MutexLock lock(mutex_);
    if (renewal_ != text) renewals_++;
    renewal_ = last_error_ = text;
    renewal_failed_ = true;
    last_error_unix_nanos_ = now_unix_nanos();
}

void StatusBoard::solved() {
    if (!troubled_) return;
    MutexLock lock(mutex_);
    problem_.clear();
    problem_error_.clear();
    troubled_ = false;
}

TransmitStatus StatusBoard::snapshot() const {
    TransmitStatus status;
    status.queued = queued.get();
    // What is taken is counted before it is acknowledged, so read in this order the three fit each other.
    status.acknowledged = acknowledged.get();
    status.too_large = too_large.get();
    status.taken = taken.get();
    status.held = status.taken - status.acknowledged - status.too_large;
    status.failed = failed.get();
    status.clients = clients.get();
    status.connected = connected;
    MutexLock lock(mutex_);
    status.problem = problem_;
    status.problem_error = problem_error_;
    status.last_error = last_error_;
    status.last_error_unix_nanos = last_error_unix_nanos_;
    status.renewals = renewals_;
    status.renewal = renewal_;
    status.renewal_failed = renewal_failed_;
    return status;
}

}  // namespace tcptrail::transmit
