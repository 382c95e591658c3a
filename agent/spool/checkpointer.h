// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>

#include "agent/spool/compactor.h"
#include "agent/spool/database.h"
#include "agent/spool/options.h"
#include "agent/spool/shared.h"

namespace tcptrail::spool {

// Owns the thread that makes the spool durable, so that neither capture nor transmit ever waits for a disk
// to sync: once a second, or after each commit, it syncs the log, and once the log is large it copies it into
// the database and lets it begin anew. It also merges the batches that wait, and looks whether the file is
// still there and the disk has room. Failures are told through Shared::trouble.
class Checkpointer {
public:
    static Result<std::unique_ptr<Checkpointer>> start(std::shared_ptr<Shared> shared,
                                                       const Options& options);
    // Syncs what was committed, then joins the thread.
    ~Checkpointer();

private:
    Checkpointer(std::shared_ptr<Shared> shared, const Options& options)
        : shared_(std::move(shared)),
          sync_(options.sync),
          min_free_bytes_(options.min_free_bytes),
          compactor_(shared_, std::min(options.loose_bytes, options.max_bytes / 16)) {}
    void run(const std::stop_token& stop);
    void look_for_file();
    void look_at_disk();
    void keep_accounts();
    Result<> look_for_log();
    void wait(std::chrono::steady_clock::time_point until);
    Result<> make_durable();
    Result<> compact();
    Result<> check(SqlResult<> done, const char* what);
    Result<> attach();
    Result<> sync_log();
    Result<> restart_log();

    std::shared_ptr<Shared> shared_;
    const Sync sync_;
    const uint64_t min_free_bytes_;
    Compactor compactor_;
    bool more_to_merge_ = false;
    Database worker_;  // copies
    Database pin_;     // holds a read transaction while worker_ copies
    uint32_t generation_ = 0;
    Accounts accounts_;  // as they were written
    std::jthread thread_;
};

}  // namespace tcptrail::spool
