// SPDX-License-Identifier: Apache-2.0
#include "agent/context/cgroup_births.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

namespace tcptrail::context {
namespace {

constexpr uint32_t wanted = IN_CREATE | IN_DELETE | IN_ONLYDIR;
// Deeper than containers in pods in slices, and containers within those.
constexpr size_t most_watches = 32768;

std::string join(const std::string& path, const std::string& name) {
    return path == "/" ? path + name : path + "/" + name;
}

}  // namespace

CgroupBirths::CgroupBirths(std::string mount, Handler handler)
    : mount_(std::move(mount)),
      handler_(std::move(handler)),
      inotify_(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    add("/");
}

// A watch first, then what is in there: what is made in between is told twice rather than not.
void CgroupBirths::add(const std::string& path) {
    std::vector<std::string> folders = {path};
    while (!folders.empty()) {
        const std::string folder = std::move(folders.back());
        folders.pop_back();
        const std::string real = mount_ + folder;
        struct stat status{};
        if (stat(real.c_str(), &status) != 0) continue;
        handler_.born(status.st_ino, folder);
        if (inotify_.valid() && paths_.size() < most_watches)
            if (const int watch = inotify_add_watch(inotify_.get(), real.c_str(), wanted); watch >= 0)
                paths_.insert_or_assign(watch, folder);
        std::error_code error;
        for (std::filesystem::directory_iterator entry(real, error), end; !error && entry != end;
             entry.increment(error))
            if (std::error_code gone; entry->is_directory(gone))
                folders.push_back(join(folder, entry->path().filename().string()));
    }
}

void CgroupBirths::look() {
    alignas(inotify_event) char buffer[16384];
    for (ssize_t got = 0; (got = read(inotify_.get(), buffer, sizeof buffer)) > 0;)
        for (ssize_t at = 0; at < got;) {
            inotify_event event;
            std::memcpy(&event, buffer + at, sizeof event);
            on_event(event.wd, event.mask,
                     event.len ? std::string(buffer + at + sizeof event) : std::string());
            at += static_cast<ssize_t>(sizeof event + event.len);
        }
}

void CgroupBirths::on_event(int watch, uint32_t mask, const std::string& name) {
    if (mask & IN_Q_OVERFLOW) return add("/");
    const auto folder = paths_.find(watch);
    if (folder == paths_.end()) return;
    if (mask & IN_IGNORED) {
        paths_.erase(folder);
        return;
    }
    if (!(mask & IN_ISDIR)) return;
    const std::string path = join(folder->second, name);
    if (mask & IN_CREATE)
        add(path);
    else if (mask & IN_DELETE)
        handler_.gone(path);
}

}  // namespace tcptrail::context
