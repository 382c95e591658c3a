// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/checkpointer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>

#include "agent/base/thread.h"
#include "agent/spool/schema.h"

namespace tcptrail::spool {
namespace {

constexpr auto sync_interval = std::chrono::seconds(1);
constexpr uint64_t large_log_pages = 2048;  // 16 MiB
// Between two merges, so that they come no faster than the appender puts them into the file.
constexpr auto merge_interval = std::chrono::milliseconds(5);

}  // namespace

Result<std::unique_ptr<Checkpointer>> Checkpointer::start(std::shared_ptr<Shared> shared,
                                                          const Options& options) {
    std::unique_ptr<Checkpointer> checkpointer(new Checkpointer(std::move(shared), options));
    // Now, so that the first round is not in the appender's way. What the disk refuses is tried again then.
    if (checkpointer->shared_->generation != 0) (void)checkpointer->attach();
    auto thread = start_thread("spool-sync",
                               [self = checkpointer.get()](const std::stop_token& stop) { self->run(stop); });
    if (!thread) return std::unexpected(thread.error());
    checkpointer->thread_ = std::move(*thread);
    return checkpointer;
}

Checkpointer::~Checkpointer() {
    thread_.request_stop();
    const uint64_t one = 1;
    (void)!::write(shared_->sync_wake.get(), &one, sizeof(one));
    if (thread_.joinable()) thread_.join();
}

void Checkpointer::run(const std::stop_token& stop) {
    using Clock = std::chrono::steady_clock;
    auto next_round = Clock::now() + sync_interval;
    uint64_t durable = 0;  // of the commits
    while (!stop.stop_requested()) {
        wait(more_to_merge_ ? Clock::now() + merge_interval : next_round);
        const bool round = Clock::now() >= next_round;
        const bool last = stop.stop_requested();
        if (round) next_round = Clock::now() + sync_interval;
        // There is no file yet.
        if (shared_->generation == 0) continue;
        if (round) {
            look_for_file();
            look_at_disk();
            keep_accounts();
        }
        Result<> done = shared_->generation == generation_ ? Result<>() : attach();
        const uint64_t commits = shared_->commits.get();
        if (done && commits != durable && (round || last || sync_ == Sync::full)) {
            done = make_durable();
            if (done) shared_->synced.set(durable = commits);
        }
        if (round) compactor_.begin_round();
        if (done && !last && (round || more_to_merge_)) done = compact();
        if (!done) {
            more_to_merge_ = false;
            MutexLock lock(shared_->mutex);
            shared_->trouble = done.error().message;
        }
    }
}

// What is written to a file without a name is gone with the process.
void Checkpointer::look_for_file() {
    struct stat status{};
    const bool there = stat(shared_->path.c_str(), &status) == 0;
    if (!there && errno != ENOENT && errno != ENOTDIR) return;
    if (!there || status.st_ino != shared_->inode) shared_->vanished = true;
}

// They help where the file is damaged, and are not needed otherwise: that they cannot be written is nobody's
// trouble.
void Checkpointer::keep_accounts() {
    Accounts accounts;
    {
        MutexLock lock(shared_->mutex);
        accounts = shared_->accounts;
    }
    if (accounts != accounts_ && write_accounts(shared_->path, accounts)) accounts_ = std::move(accounts);
}

// Not by the appender: a disk that hangs would hold it up.
void Checkpointer::look_at_disk() {
    struct statvfs disk{};
    if (statvfs(shared_->path.c_str(), &disk) != 0) return;
    const uint64_t tenth = disk.f_blocks * disk.f_frsize / 10;
    struct stat file{};
    if (stat(shared_->path.c_str(), &file) == 0) shared_->file_bytes = static_cast<uint64_t>(file.st_size);
    shared_->scarce = disk.f_bavail * disk.f_frsize < std::min(min_free_bytes_, tenth);
}

void Checkpointer::wait(std::chrono::steady_clock::time_point until) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    pollfd waiting{shared_->sync_wake.get(), POLLIN, 0};
    if (poll(&waiting, 1, static_cast<int>(std::max<int64_t>(left.count(), 0))) <= 0) return;
    uint64_t count = 0;
    (void)!read(waiting.fd, &count, sizeof(count));
}

Result<> Checkpointer::make_durable() {
    if (shared_->log_pages.get() >= large_log_pages)
        if (auto done = restart_log(); !done) return done;
    return sync_log();
}

Result<> Checkpointer::compact() {
    auto more = compactor_.step(worker_);
    more_to_merge_ = more && *more;
    return check(more ? SqlResult<>() : SqlResult<>(std::unexpected(more.error())),
                 "cannot merge batches of");
}

Result<> Checkpointer::check(SqlResult<> done, const char* what) {
    // A header of the log that the appender is writing cannot be read, nor locked to look again: next time.
    if (done || done.error().busy()) return {};
    if ((done.error().corrupt() || done.error().sync_failed()) && shared_->generation == generation_)
        shared_->corrupt = true;
    return done.error().within(std::string(what) + " " + shared_->path);
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
    if (!log.valid() && errno == ENOENT) return look_for_log();
    if (!log.valid()) return fail_errno("cannot open " + path, errno);
    if (fdatasync(log.get()) != 0) {
        // The kernel has dropped what it could not write, and will not say so again: to sync once more proves
        // nothing.
        shared_->corrupt = true;
        return fail_errno("cannot sync " + path, errno);
    }
    return {};
}

// What is written to a log without a name is gone with the process, too: something was committed to it.
Result<> Checkpointer::look_for_log() {
    MutexLock turn(shared_->turn);
    if (shared_->generation != generation_ || exists(shared_->path + "-wal")) return {};
    shared_->vanished = true;
    return fail("the log of the spool " + shared_->path + " is gone");
}

// Once all of the log has been copied, the next writer begins it anew, and syncs its header: that must not be
// the appender. So a read transaction keeps a part of the log in use while most of it is copied, beside a
// writing appender; the short rest, the sync and the first page of the new log come while it is our turn.
Result<> Checkpointer::restart_log() {
    const char* what = "checkpoint of";
    auto copy = [this, what](bool& all) {
        auto copied = worker_.checkpoint();
        all = copied && *copied;
        return check(copied ? SqlResult<>() : SqlResult<>(std::unexpected(copied.error())), what);
    };

    if (auto done = check(pin_.execute("BEGIN; SELECT one FROM total"), what); !done) return done;
    bool all = false;
    Result<> copied = copy(all);
    MutexLock turn(shared_->turn);
    Result<> unpinned = check(pin_.execute("COMMIT"), what);
    if (!copied) return copied;
    if (!unpinned) return unpinned;
    if (auto done = copy(all); !done || !all) return done;  // a reader is in the way: next time
    return check(worker_.execute("UPDATE total SET one = 1"), what);
}

}  // namespace tcptrail::spool
