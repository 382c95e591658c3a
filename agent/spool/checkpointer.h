// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <thread>

#include "agent/spool/compactor.h"
#include "agent/spool/database.h"
#include "agent/spool/options.h"
#include "agent/spool/shared.h"

namespace tcptrail::spool {

// Owns the thread that makes the spool durable, so that neither capture nor transmit ever waits for a disk
// to sync: once a second, or after each commit, it syncs the log, and once the log is large it copies it into
// the database and lets it begin anew. It also merges the batches that wait. Failures are told through
// Shared::trouble.
class Checkpointer {
public:
    static Result<std::unique_ptr<Checkpointer>> start(std::shared_ptr<Shared> shared, Sync sync);
    // Syncs what was committed, then joins the thread.
    ~Checkpointer();

private:
    Checkpointer(std::shared_ptr<Shared> shared, Sync sync)
        : shared_(std::move(shared)), sync_(sync), compactor_(shared_) {}
    void run(const std::stop_token& stop);
    void look_for_file();
    void wait(std::chrono::steady_clock::time_point until);
    Result<> make_durable();
    Result<> compact();
    Result<> check(SqlResult<> done, const char* what);
    Result<> attach();
    Result<> sync_log();
    Result<> restart_log();

    std::shared_ptr<Shared> shared_;
    const Sync sync_;
    Compactor compactor_;
    bool more_to_merge_ = false;
    Database worker_;  // copies
    Database pin_;     // holds a read transaction while worker_ copies
    uint32_t generation_ = 0;
    std::jthread thread_;
};

}  // namespace tcptrail::spool
