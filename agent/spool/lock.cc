// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace tcptrail::spool {
namespace {

// A path that leads through a file, or is one, does not become a directory by itself.
std::unexpected<Error> of_disk(const std::string& what, int number) {
    auto problem = fail_errno(what, number);
    const bool wrong = number == ENOTDIR || number == ELOOP || number == ENAMETOOLONG || number == EEXIST;
    problem.error().code = wrong ? ExitCode::configuration : ExitCode::unavailable;
    return problem;
}

Result<> make_directory(const std::string& directory) {
    namespace fs = std::filesystem;
    std::error_code problem;
    if (fs::create_directories(directory, problem))
        // The events tell who talks to whom: not for everyone on the host.
        fs::permissions(directory, fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec,
                        problem);
    if (problem) return of_disk("cannot make the spool's directory " + directory, problem.value());
    return {};
}

// The process that wrote itself into the lock file.
std::string holder(int fd) {
    char text[32];
    ssize_t length = pread(fd, text, sizeof(text), 0);
    std::string pid(text, length > 0 ? static_cast<size_t>(length) : 0);
    while (!pid.empty() && pid.back() == '\n')
        pid.pop_back();
    return pid.empty() ? "another process" : "process " + pid;
}

}  // namespace

Result<Fd> lock_directory(const std::string& directory) {
    if (auto made = make_directory(directory); !made) return std::unexpected(made.error());

    const std::string path = directory + "/lock";
    Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
    // On a disk that is read-only the lock of an earlier run does.
    if (!fd.valid() && errno == EROFS) fd.reset(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid()) return of_disk("cannot open " + path, errno);
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) return of_disk("cannot lock " + path, errno);
        return fail(
            fmt::format("spool {} is in use by {}: one agent owns it at a time; stop that one, or set "
                        "another spool.directory",
                        directory, holder(fd.get())));
    }
    // Who holds it is told to a second one only: a full disk must not keep the agent from starting.
    const std::string pid = fmt::format("{}\n", getpid());
    if (ftruncate(fd.get(), 0) == 0) (void)!pwrite(fd.get(), pid.data(), pid.size(), 0);
    return fd;
}

}  // namespace tcptrail::spool
