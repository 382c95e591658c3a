// SPDX-License-Identifier: Apache-2.0
#include "agent/context/cgroups.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "agent/base/clock.h"
#include "agent/context/processes.h"

namespace tcptrail::context {

namespace {

constexpr size_t max_places = 65536;  // beyond it the cache begins anew
// Of cgroups that are gone: retransmits may take a quarter of an hour, and their connections end after that.
constexpr size_t most_gone = 8192;
constexpr uint64_t remembered_ns = 900'000'000'000;
constexpr uint64_t walk_interval_ns = 1'000'000'000;
constexpr int handle_type_kernfs = 0xfe;  // FILEID_KERNFS of include/linux/exportfs.h
constexpr uint64_t handle_bytes = sizeof(uint64_t);

// A path of /proc/self/mounts, where white space and the backslash are octal: proc_pid_mounts(5),
// getmntent(3).
std::string unescaped(std::string_view text) {
    std::string path;
    for (size_t at = 0; at < text.size(); ++at) {
        unsigned character = 0;
        const char* const digits = text.data() + at + 1;
        if (text[at] == '\\' && at + 3 < text.size() &&
            std::from_chars(digits, digits + 3, character, 8).ptr == digits + 3) {
            path += static_cast<char>(character);
            at += 3;
        } else {
            path += text[at];
        }
    }
    return path;
}

std::string find_mount(const std::string& proc) {
    std::ifstream mounts(proc + "/self/mounts");
    for (std::string line; std::getline(mounts, line);) {
        std::istringstream fields(line);
        std::string device, path, type;
        if (fields >> device >> path >> type && type == "cgroup2") return unescaped(path);
    }
    return {};
}

// Beside controllers of version 1 ("hybrid") cgroup2 has a folder of its own among theirs. A DaemonSet's
// nodes may be of both kinds, so where it is one for all of them.
std::string without_version_1(const std::string& mount) {
    constexpr const char* mark = "/cgroup.controllers";  // each cgroup of version 2 has it
    const std::string unified = mount + "/unified";
    std::error_code error;
    const bool hybrid =
        !std::filesystem::exists(mount + mark, error) && std::filesystem::exists(unified + mark, error);
    return hybrid ? unified : mount;
}

}  // namespace

Cgroups::Cgroups(const std::string& mount, const std::string& proc)
    : mount_(mount.empty() ? find_mount(proc) : without_version_1(mount)) {
    // As the kernel spells it: without links and trailing slashes.
    std::error_code error;
    if (const auto canonical = std::filesystem::canonical(mount_, error); !error) mount_ = canonical.string();
    if (!mount_.empty()) mount_fd_.reset(open(mount_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

const Place* Cgroups::place_of(uint64_t id) {
    if (!id || !mount_fd_.valid()) return nullptr;
    if (const auto found = places_.find(id); found != places_.end()) return &found->second;
    if (places_.size() >= max_places) places_.clear();
    if (const Place* place = by_handle(id)) return place;
    const uint64_t now = monotonic_nanos();
    if (handles_allowed_ || now - walked_ns_ < walk_interval_ns) return nullptr;
    walked_ns_ = now;
    walk();
    const auto found = places_.find(id);
    return found == places_.end() ? nullptr : &found->second;
}

void Cgroups::watch_births() {
    if (!mount_fd_.valid()) return;
    births_ = std::make_unique<CgroupBirths>(
        mount_, CgroupBirths::Handler{[this](uint64_t id, const std::string& path) {
                                          places_.try_emplace(id, path);
                                          living_.insert_or_assign(path, id);
                                      },
                                      [this](const std::string& path) {
                                          const auto living = living_.find(path);
                                          if (living == living_.end()) return;
                                          gone_.push_back({monotonic_nanos(), living->second});
                                          living_.erase(living);
                                      }});
}

void Cgroups::look_for_births() {
    if (births_) births_->look();
    const uint64_t now = monotonic_nanos();
    while (!gone_.empty() && (gone_.size() > most_gone || now - gone_.front().at_ns > remembered_ns)) {
        places_.erase(gone_.front().id);
        gone_.pop_front();
    }
}

// The id is the file handle of the cgroup's folder.
const Place* Cgroups::by_handle(uint64_t id) {
    if (!handles_allowed_) return nullptr;
    alignas(file_handle) char buffer[sizeof(file_handle) + handle_bytes];
    auto* handle = reinterpret_cast<file_handle*>(buffer);
    handle->handle_bytes = handle_bytes;
    handle->handle_type = handle_type_kernfs;
    std::memcpy(handle->f_handle, &id, handle_bytes);
    const Fd folder(open_by_handle_at(mount_fd_.get(), handle, O_PATH | O_CLOEXEC));
    if (!folder.valid()) {
        if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS) handles_allowed_ = false;
        return nullptr;
    }
    std::error_code error;
    const std::string path =
        std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(folder.get()), error).string();
    if (error || !path.starts_with(mount_)) return nullptr;
    const std::string below(without_deleted(std::string_view(path).substr(mount_.size())));
    return &places_.try_emplace(id, below.empty() ? "/" : below).first->second;
}

// Without the capability: the id is also the inode number of the folder. What is gone stays known: its last
// connections may still be told.
void Cgroups::walk() {
    std::vector<std::string> folders = {""};
    while (!folders.empty() && places_.size() < max_places) {
        const std::string folder = std::move(folders.back());
        folders.pop_back();
        struct stat status{};
        if (stat((mount_ + folder).c_str(), &status) != 0) continue;
        places_.insert_or_assign(status.st_ino, Place(folder.empty() ? "/" : folder));
        std::error_code error;
        for (std::filesystem::directory_iterator entry(mount_ + folder, error), end; !error && entry != end;
             entry.increment(error))
            if (entry->is_directory(error))
                folders.push_back(folder + "/" + entry->path().filename().string());
    }
}

}  // namespace tcptrail::context
