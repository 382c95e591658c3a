// SPDX-License-Identifier: Apache-2.0
//
// To be preloaded: counts the file system calls of a program below one folder, and lets something happen at
// one of them. By the environment:
//
//   DISK_FAULTS_FOLDER=/path         files and folders below it; it need not be there yet
//   DISK_FAULTS='ACTION N [VALUE]'   at the N-th call, from 1 on:
//       fail N ENOSPC                it fails once; fail-from N ENOSPC: and all after it
//       kill-before N, kill-after N  SIGKILL; kill-midway N: half of what it writes is written
//       delay-from N 1000            it and all after it take so many milliseconds more
//   DISK_FAULTS_CALLS=fdatasync,…    counts only these
//   DISK_FAULTS_WHILE=/path          fails and delays only while this exists
//   DISK_FAULTS_LOG=/path            log.h's records of the calls that change files
//   DISK_FAULTS_COUNT=/path          how many calls there were, when the program ends
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/tools/preload/log.h"

namespace {

using tests::DiskCall;

enum class Action { none, fail, fail_from, kill_before, kill_midway, kill_after, delay_from };

constexpr std::pair<std::string_view, Action> actions[] = {
    {"fail", Action::fail},
    {"fail-from", Action::fail_from},
    {"kill-before", Action::kill_before},
    {"kill-midway", Action::kill_midway},
    {"kill-after", Action::kill_after},
    {"delay-from", Action::delay_from},
};
constexpr std::pair<std::string_view, int> errors[] = {
    {"ENOSPC", ENOSPC}, {"EIO", EIO},       {"EROFS", EROFS},   {"EDQUOT", EDQUOT},
    {"EINTR", EINTR},   {"EACCES", EACCES}, {"EMFILE", EMFILE}, {"ENOMEM", ENOMEM},
};

std::string setting(const char* name) {
    const char* value = getenv(name);
    return value ? value : "";
}

uint64_t now_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

class Faults {
public:
    Faults()
        : folder_(setting("DISK_FAULTS_FOLDER")),
          calls_(setting("DISK_FAULTS_CALLS")),
          while_(setting("DISK_FAULTS_WHILE")),
          count_path_(setting("DISK_FAULTS_COUNT")) {
        char action[32] = "", value[32] = "";
        (void)sscanf(setting("DISK_FAULTS").c_str(), "%31s %lu %31s", action, &at_, value);
        for (const auto& [name, known] : actions)
            if (name == action) action_ = known;
        for (const auto& [name, number] : errors)
            if (name == value) error_ = number;
        delay_ms_ = static_cast<uint64_t>(atoi(value));
        if (const std::string log = setting("DISK_FAULTS_LOG"); !log.empty())
            log_ = static_cast<int>(
                syscall(SYS_openat, AT_FDCWD, log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    }

    void write_count() const {
        if (count_path_.empty()) return;
        const std::string text = std::to_string(count_) + "\n";
        const auto file = syscall(SYS_openat, AT_FDCWD, count_path_.c_str(),
                                  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        (void)syscall(SYS_write, file, text.data(), text.size());
        (void)syscall(SYS_close, file);
    }

    bool has(const char* path) const {
        return !folder_.empty() && path && std::string_view(path).starts_with(folder_);
    }
    bool has(int file) const { return file >= 0 && file < static_cast<int>(ours_.size()) && ours_[at(file)]; }
    void set(int file, bool ours) {
        if (file >= 0 && file < static_cast<int>(ours_.size())) ours_[at(file)] = ours;
    }
    bool logs() const { return log_ >= 0; }

    // Runs the call, or what is to happen in its place; `half` does half of it.
    template <class Run, class Half>
    long call(const char* name, Run&& run, Half&& half) {
        if (!calls_.empty() && ("," + calls_ + ",").find("," + std::string(name) + ",") == std::string::npos)
            return run();
        const uint64_t number = ++count_;
        const bool it = number == at_, from = at_ > 0 && number >= at_;
        if (it && action_ == Action::kill_before) die();
        if (it && action_ == Action::kill_midway) {
            half();
            die();
        }
        if ((it && action_ == Action::fail) || (from && action_ == Action::fail_from && goes_on())) {
            errno = error_;
            return -1;
        }
        if (from && action_ == Action::delay_from && goes_on()) {
            const timespec delay{static_cast<time_t>(delay_ms_ / 1000),
                                 static_cast<long>(delay_ms_ % 1000) * 1'000'000};
            nanosleep(&delay, nullptr);
        }
        const long result = run();
        if (it && action_ == Action::kill_after) die();
        return result;
    }

    // Runs it and writes it down, as one.
    template <class Run>
    long logged(DiskCall call, int file, uint64_t offset, std::string_view payload, Run&& run) {
        if (!logs()) return run();
        const std::lock_guard lock(mutex_);
        const uint64_t began = now_ns();
        const long result = run();
        if (result < 0) return result;
        struct stat status{};
        if (call == DiskCall::open) file = static_cast<int>(result);
        if (file >= 0) fstat(file, &status);
        if (call == DiskCall::open) offset = static_cast<uint64_t>(status.st_size);
        if (call == DiskCall::write) payload = payload.substr(0, static_cast<size_t>(result));
        const tests::DiskRecord record{call, static_cast<uint32_t>(payload.size()), status.st_ino, offset,
                                       began};
        std::string bytes(reinterpret_cast<const char*>(&record), sizeof record);
        bytes += payload;
        (void)syscall(SYS_write, log_, bytes.data(), bytes.size());
        return result;
    }

private:
    static size_t at(int file) { return static_cast<size_t>(file); }
    bool goes_on() const { return while_.empty() || syscall(SYS_access, while_.c_str(), F_OK) == 0; }
    [[noreturn]] static void die() {
        (void)kill(getpid(), SIGKILL);
        for (;;)
            pause();
    }

    const std::string folder_, calls_, while_, count_path_;
    Action action_ = Action::none;
    uint64_t at_ = 0;
    int error_ = EIO;
    uint64_t delay_ms_ = 0;
    int log_ = -1;
    std::mutex mutex_;
    std::atomic<uint64_t> count_ = 0;
    std::array<std::atomic<bool>, 4096> ours_{};
};

// Some calls come before main(), some after the destructors.
Faults& faults() {
    static auto* const the_only = new Faults;
    return *the_only;
}

__attribute__((destructor)) void write_count() {
    faults().write_count();
}

constexpr auto nothing = [] {};

int open_at(int folder, const char* path, int flags, mode_t mode) {
    const auto run = [=] { return syscall(SYS_openat, folder, path, flags, mode); };
    if (!faults().has(path)) return static_cast<int>(run());
    const bool changes = (flags & (O_WRONLY | O_RDWR | O_CREAT)) != 0;
    const auto logged = [&] { return changes ? faults().logged(DiskCall::open, -1, 0, path, run) : run(); };
    const int file = static_cast<int>(faults().call("open", logged, nothing));
    faults().set(file, true);
    return file;
}

mode_t mode_of(int flags, va_list arguments) {
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

// What SQLite and the agent call; 64-bit names are the same on 64-bit machines.
extern "C" {

// NOLINTBEGIN(cert-dcl50-cpp): they are as the C library has them.
int open(const char* path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at(AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char* path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at(folder, path, flags, mode);
}
// NOLINTEND(cert-dcl50-cpp)

int close(int file) {
    faults().set(file, false);
    return static_cast<int>(syscall(SYS_close, file));
}

ssize_t read(int file, void* bytes, size_t length) {
    const auto run = [=] { return syscall(SYS_read, file, bytes, length); };
    return faults().has(file) ? faults().call("read", run, nothing) : run();
}

ssize_t pread64(int file, void* bytes, size_t length, off64_t offset) {
    const auto run = [=] { return syscall(SYS_pread64, file, bytes, length, offset); };
    return faults().has(file) ? faults().call("pread", run, nothing) : run();
}
ssize_t pread(int file, void* bytes, size_t length, off_t offset) {
    return pread64(file, bytes, length, offset);
}

ssize_t write(int file, const void* bytes, size_t length) {
    const auto run = [=] { return syscall(SYS_write, file, bytes, length); };
    const std::string_view payload(static_cast<const char*>(bytes), length);
    if (file == STDOUT_FILENO) return faults().logged(DiskCall::note, -1, 0, payload, run);
    if (!faults().has(file)) return run();
    const auto offset = static_cast<uint64_t>(syscall(SYS_lseek, file, 0, SEEK_CUR));
    return faults().call(
        "write", [&] { return faults().logged(DiskCall::write, file, offset, payload, run); },
        [=] { (void)syscall(SYS_write, file, bytes, length / 2); });
}

ssize_t pwrite64(int file, const void* bytes, size_t length, off64_t offset) {
    const auto run = [=] { return syscall(SYS_pwrite64, file, bytes, length, offset); };
    if (!faults().has(file)) return run();
    const std::string_view payload(static_cast<const char*>(bytes), length);
    return faults().call(
        "pwrite",
        [&] { return faults().logged(DiskCall::write, file, static_cast<uint64_t>(offset), payload, run); },
        [=] { (void)syscall(SYS_pwrite64, file, bytes, length / 2, offset); });
}
ssize_t pwrite(int file, const void* bytes, size_t length, off_t offset) {
    return pwrite64(file, bytes, length, offset);
}

int ftruncate64(int file, off64_t length) noexcept {
    const auto run = [=] { return syscall(SYS_ftruncate, file, length); };
    if (!faults().has(file)) return static_cast<int>(run());
    const auto logged = [&] {
        return faults().logged(DiskCall::truncate, file, static_cast<uint64_t>(length), {}, run);
    };
    return static_cast<int>(faults().call("ftruncate", logged, nothing));
}
int ftruncate(int file, off_t length) noexcept {
    return ftruncate64(file, length);
}

int fallocate64(int file, int mode, off64_t offset, off64_t length) {
    const auto run = [=] { return syscall(SYS_fallocate, file, mode, offset, length); };
    return static_cast<int>(faults().has(file) ? faults().call("fallocate", run, nothing) : run());
}
int fallocate(int file, int mode, off_t offset, off_t length) {
    return fallocate64(file, mode, offset, length);
}

int fsync(int file) {
    const auto run = [=] { return syscall(SYS_fsync, file); };
    if (!faults().has(file)) return static_cast<int>(run());
    const auto logged = [&] { return faults().logged(DiskCall::sync, file, 0, {}, run); };
    return static_cast<int>(faults().call("fsync", logged, nothing));
}
int fdatasync(int file) {
    const auto run = [=] { return syscall(SYS_fdatasync, file); };
    if (!faults().has(file)) return static_cast<int>(run());
    const auto logged = [&] { return faults().logged(DiskCall::sync, file, 0, {}, run); };
    return static_cast<int>(faults().call("fdatasync", logged, nothing));
}

void* mmap64(void* address, size_t length, int protection, int flags, int file, off64_t offset) noexcept {
    const auto run = [=] { return syscall(SYS_mmap, address, length, protection, flags, file, offset); };
    // NOLINTNEXTLINE(performance-no-int-to-ptr): -1 is MAP_FAILED
    return reinterpret_cast<void*>(faults().has(file) ? faults().call("mmap", run, nothing) : run());
}
void* mmap(void* address, size_t length, int protection, int flags, int file, off_t offset) noexcept {
    return mmap64(address, length, protection, flags, file, offset);
}

#pragma GCC diagnostic ignored "-Wshadow"  // there is a struct flock
int flock(int file, int operation) noexcept {
    const auto run = [=] { return syscall(SYS_flock, file, operation); };
    return static_cast<int>(faults().has(file) ? faults().call("flock", run, nothing) : run());
}

int mkdir(const char* path, mode_t mode) noexcept {
    const auto run = [=] { return syscall(SYS_mkdir, path, mode); };
    return static_cast<int>(faults().has(path) ? faults().call("mkdir", run, nothing) : run());
}

int rename(const char* from, const char* to) noexcept {
    const auto run = [=] { return syscall(SYS_rename, from, to); };
    if (!faults().has(from)) return static_cast<int>(run());
    const std::string paths = std::string(from) + '\0' + to + '\0';
    const auto logged = [&] { return faults().logged(DiskCall::rename, -1, 0, paths, run); };
    return static_cast<int>(faults().call("rename", logged, nothing));
}

int unlink(const char* path) noexcept {
    const auto run = [=] { return syscall(SYS_unlink, path); };
    if (!faults().has(path)) return static_cast<int>(run());
    const auto logged = [&] { return faults().logged(DiskCall::unlink, -1, 0, path, run); };
    return static_cast<int>(faults().call("unlink", logged, nothing));
}

}  // extern "C"
