// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "agent/base/counter.h"
#include "agent/base/mutex.h"

namespace tcptrail::transmit {

// How the transmit thread is, in messages since it started. taken = acknowledged + too_large + held.
struct TransmitStatus {
    uint64_t taken = 0;         // from the spool
    uint64_t queued = 0;        // handed to librdkafka, no report yet
    uint64_t acknowledged = 0;  // reported PERSISTED
    uint64_t too_large = 0;     // lost: the brokers refuse it, alone too
    uint64_t held = 0;          // taken, neither acknowledged nor lost
    uint64_t failed = 0;        // reports with an error: each such message is sent again
    uint64_t clients = 0;  // librdkafka producers made: more than one after a fatal error or a new batch size
    bool connected = false;  // a broker has stored a message, and not all were lost since
    std::string problem;  // what keeps messages from being acknowledged, in words; empty: nothing is known to
    std::string
        problem_error;  // librdkafka's name for it, such as TOPIC_AUTHORIZATION_FAILED; empty: it has none
    std::string last_error;
    uint64_t last_error_unix_nanos = 0;  // 0: none yet
    // What became of the file of a working producer that was replaced last; the number grows with each news.
    uint64_t renewals = 0;
    std::string renewal;
    bool renewal_failed = false;
};

// Keeps a status: the transmit thread writes, any thread reads a copy.
class StatusBoard {
public:
    Counter taken, queued, acknowledged, too_large, failed, clients;
    std::atomic<bool> connected = false;

    // A failure; it is the last error, and the problem until solved(). `error`: librdkafka's name for it.
    void failure(const std::string& text, const std::string& error = {});
    void solved();
    // What became of a replaced file. Where it is not taken up the producer works on: that is the last error,
    // and no problem.
    void renewed(const std::string& text);
    void not_renewed(const std::string& text);
    bool troubled() const { return troubled_; }  // for the transmit thread
    TransmitStatus snapshot() const;

private:
    mutable Mutex mutex_;
    std::string problem_ GUARDED_BY(mutex_);
    std::string problem_error_ GUARDED_BY(mutex_);
    std::string last_error_ GUARDED_BY(mutex_);
    uint64_t last_error_unix_nanos_ GUARDED_BY(mutex_) = 0;
    uint64_t renewals_ GUARDED_BY(mutex_) = 0;
    std::string renewal_ GUARDED_BY(mutex_);
    bool renewal_failed_ GUARDED_BY(mutex_) = false;
    bool troubled_ = false;  // the transmit thread's: spares the lock for each acknowledgement
};

}  // namespace tcptrail::transmit
