// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "agent/spool/database.h"
#include "agent/spool/shared.h"

namespace tcptrail::spool {

// Owns the thread that makes the spool durable, so that neither capture nor transmit ever waits for a disk
// to sync: once a second it syncs the log, and once the log is large it copies it into the database and
// lets it begin anew. Failures are told through Shared::trouble.
class Checkpointer {
public:
    static Result<std::unique_ptr<Checkpointer>> start(std::shared_ptr<Shared> shared);
    // Syncs what was committed, then joins the thread.
    ~Checkpointer();

private:
    explicit Checkpointer(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
    void run(const std::stop_token& stop);
    Result<> attach();
    Result<> sync_log();
    Result<> restart_log();

    std::shared_ptr<Shared> shared_;
    Database worker_;  // copies
    Database pin_;     // holds a read transaction while worker_ copies
    uint32_t generation_ = 0;
    std::mutex sleep_;
    std::condition_variable_any wake_;
    std::jthread thread_;
};

}  // namespace tcptrail::spool
