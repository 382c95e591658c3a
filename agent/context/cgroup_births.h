// SPDX-License-Identifier: Apache-2.0
//
// Cgroups as they are made, by inotify: that of a container is gone some milliseconds after its last process,
// and its last connections are read after that.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>

#include "agent/base/fd.h"

namespace tcptrail::context {

// Used by the capture thread alone.
class CgroupBirths {
public:
    // A cgroup (v2) by its id, which is the inode of its folder, with its path below the mount, "/" for the
    // root; and when it goes.
    struct Handler {
        std::function<void(uint64_t id, const std::string& path)> born;
        std::function<void(const std::string& path)> gone;
    };

    // What is there is told as born from within. Where inotify is not to be had (its limits, fs.inotify.*)
    // fd() is invalid, and what is born later is not told.
    CgroupBirths(std::string mount, Handler handler);

    // Readable when look() has something to tell.
    int fd() const { return inotify_.get(); }
    void look();

private:
    void add(const std::string& path);
    void on_event(int watch, uint32_t mask, const std::string& name);

    std::string mount_;
    Handler handler_;
    Fd inotify_;
    std::unordered_map<int, std::string> paths_;  // by watch
};

}  // namespace tcptrail::context
