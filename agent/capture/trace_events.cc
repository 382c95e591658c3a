// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/trace_events.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>

namespace tcptrail::capture {

namespace {

Fd open_at(int folder, const std::string& path, int flags) {
    return Fd(openat(folder, path.c_str(), flags | O_CLOEXEC));
}

// A mount that has no place in the file system goes with its descriptor.
Result<Fd> mount_tracefs() {
    const Fd context(fsopen("tracefs", FSOPEN_CLOEXEC));
    if (!context.valid()) return fail_errno("tracefs is not mounted, and cannot be", errno);
    if (fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
        return fail_errno("tracefs is not mounted, and cannot be", errno);
    Fd mount(fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
    if (!mount.valid()) return fail_errno("tracefs is not mounted, and cannot be", errno);
    return mount;
}

// The file with the event's number.
Result<Fd> open_id(const std::string& name) {
    const std::string path = "events/" + name + "/id";
    for (const char* root : {"/sys/kernel/tracing/", "/sys/kernel/debug/tracing/"}) {
        Fd file = open_at(AT_FDCWD, root + path, O_RDONLY);
        if (file.valid()) return file;
        if (errno != ENOENT) return fail_errno(root + path, errno);
    }
    const auto root = mount_tracefs();
    if (!root) return std::unexpected(root.error());
    Fd file = open_at(root->get(), path, O_RDONLY);
    if (!file.valid()) return fail_errno("the trace event " + name, errno);
    return file;
}

}  // namespace

Result<Fd> open_trace_event(const std::string& name) {
    const auto file = open_id(name);
    if (!file) return std::unexpected(file.error());
    std::array<char, 32> text{};
    const ssize_t length = read(file->get(), text.data(), text.size());
    perf_event_attr event{};
    event.type = PERF_TYPE_TRACEPOINT;
    event.size = sizeof event;
    event.sample_period = 1;
    event.wakeup_events = 1;
    if (length <= 0 || std::from_chars(text.data(), text.data() + length, event.config).ec != std::errc())
        return fail("the trace event " + name + " has no number");
    // For one CPU: the programs of an event run on all.
    Fd opened(static_cast<int>(syscall(SYS_perf_event_open, &event, -1, 0, -1, PERF_FLAG_FD_CLOEXEC)));
    if (!opened.valid()) return fail_errno("perf_event_open() of the trace event " + name, errno);
    return opened;
}

}  // namespace tcptrail::capture
