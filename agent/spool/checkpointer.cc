// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/checkpointer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "agent/base/thread.h"
#include "agent/spool/schema.h"

namespace tcptrail::spool {
namespace {

constexpr auto sync_interval = std::chrono::seconds(1);
constexpr uint64_t large_log_pages = 2048;  // 16 MiB

}  // namespace

Result<std::unique_ptr<Checkpointer>> Checkpointer::start(std::shared_ptr<Shared> shared) {
    std::unique_ptr<Checkpointer> checkpointer(new Checkpointer(std::move(shared)));
    if (auto done = checkpointer->attach(); !done) return std::unexpected(done.error());
    auto thread = start_thread("spool-sync",
                               [self = checkpointer.get()](const std::stop_token& stop) { self->run(stop); });
    if (!thread) return std::unexpected(thread.error());
    checkpointer->thread_ = std::move(*thread);
    return checkpointer;
}

Checkpointer::~Checkpointer() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
}

void Checkpointer::run(const std::stop_token& stop) {
    uint64_t synced = 0;
    while (true) {
        {
            std::unique_lock lock(sleep_);
            wake_.wait_for(lock, stop, sync_interval, [] { return false; });
        }
        if (const uint64_t commits = shared_->commits.get(); commits != synced) {
            synced = commits;
            Result<> done = shared_->generation == generation_ ? Result<>() : attach();
            if (done) done = shared_->log_pages.get() < large_log_pages ? sync_log() : restart_log();
            if (!done) {
                MutexLock lock(shared_->mutex);
                shared_->trouble = done.error().message;
            }
        }
        if (stop.stop_requested()) return;
    }
}

Result<> Checkpointer::attach() {
    // While the file is being replaced its parts do not belong together.
    MutexLock turn(shared_->turn);
    for (Database* database : {&worker_, &pin_}) {
        auto opened = open_view(shared_->path);
        if (!opened) return opened.error().within("cannot open the spool " + shared_->path);
        *database = std::move(*opened);
    }
    generation_ = shared_->generation;
    return {};
}

// The log is no file that SQLite holds locks on, so it is safe to open and close it behind SQLite's back.
Result<> Checkpointer::sync_log() {
    const std::string path = shared_->path + "-wal";
    Fd log(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!log.valid()) return errno == ENOENT ? Result<>() : fail_errno("cannot open " + path, errno);
    if (fdatasync(log.get()) != 0) return fail_errno("cannot sync " + path, errno);
    return {};
}

// Once all of the log has been copied, the next writer begins it anew, and syncs its header: that must not be
// the appender. So a read transaction keeps a part of the log in use while most of it is copied, beside a
// writing appender; the short rest, the sync and the first page of the new log come while it is our turn.
Result<> Checkpointer::restart_log() {
    auto check = [this](SqlResult<> done) -> Result<> {
        if (done) return {};
        if (done.error().corrupt()) shared_->corrupt = true;
        return done.error().within("checkpoint of " + shared_->path);
    };
    auto copy = [this, &check](bool& all) {
        auto copied = worker_.checkpoint();
        all = copied && *copied;
        return check(copied ? SqlResult<>() : SqlResult<>(std::unexpected(copied.error())));
    };

    if (auto done = check(pin_.execute("BEGIN; SELECT one FROM total")); !done) return done;
    bool all = false;
    Result<> copied = copy(all);
    MutexLock turn(shared_->turn);
    Result<> unpinned = check(pin_.execute("COMMIT"));
    if (!copied) return copied;
    if (!unpinned) return unpinned;
    if (auto done = copy(all); !done || !all) return done;  // a reader is in the way: next time
    return check(worker_.execute("UPDATE total SET one = 1"));
}

}  // namespace tcptrail::spool
