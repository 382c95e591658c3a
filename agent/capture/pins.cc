// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/pins.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <system_error>

#include "bpf/abi/control.h"

namespace tcptrail::capture {

namespace {

namespace fs = std::filesystem;

constexpr const char* link_prefix = "link_";

// The process that had the directory when it was locked by another.
std::string holder(const std::string& directory) {
    const Fd control(bpf_obj_get((directory + "/" + Pins::control_name()).c_str()));
    const uint32_t key = 0;
    tcptrail_control value{};
    if (!control.valid() || bpf_map_lookup_elem(control.get(), &key, &value) != 0 || !value.agent_pid)
        return "another process";
    return "process " + std::to_string(value.agent_pid);
}

bool is_bpffs(const std::string& path) {
    struct statfs system{};
    return statfs(path.c_str(), &system) == 0 && static_cast<uint32_t>(system.f_type) == BPF_FS_MAGIC;
}

void remove_files(const std::string& directory, const char* prefix) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(directory, ignored))
        if (entry.path().filename().native().starts_with(prefix)) fs::remove(entry.path(), ignored);
}

}  // namespace

Result<Pins> Pins::open(const std::string& directory) {
    std::error_code problem;
    // Only where it would be on a bpffs: nothing is left behind on any other file system.
    fs::path there = directory;
    while (there.has_parent_path() && there != there.root_path() && !fs::exists(there, problem))
        there = there.parent_path();
    if (!is_bpffs(there))
        return fail(there.string() + " is no BPF file system (mount -t bpf bpf /sys/fs/bpf)");
    fs::create_directories(directory, problem);
    if (problem) return fail_errno("cannot make " + directory, problem.value());
    // The maps tell who talks to whom.
    (void)chmod(directory.c_str(), S_IRWXU);
    return lock(directory);
}

Result<std::optional<Pins>> Pins::open_existing(const std::string& directory) {
    std::error_code problem;
    if (!fs::exists(directory, problem)) {
        if (problem) return fail_errno(directory, problem.value());
        return std::nullopt;
    }
    if (!is_bpffs(directory)) return fail(directory + " is not on a BPF file system");
    auto pins = lock(directory);
    if (!pins) return std::unexpected(std::move(pins.error()));
    return std::optional(std::move(*pins));
}

Result<Pins> Pins::lock(const std::string& directory) {
    Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) return fail_errno("cannot open " + directory, errno);
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) return fail_errno("cannot lock " + directory, errno);
        return fail(directory + " is in use by " + holder(directory) +
                        ": one agent traces at a time; stop that one, or set another capture.pin",
                    ExitCode::unavailable);
    }
    return Pins(directory, std::move(fd));
}

std::string Pins::control_name() {
    return "control";
}
std::string Pins::map_name(uint32_t generation, const std::string& name) {
    return std::to_string(generation) + "/map_" + name;
}
std::string Pins::link_name(uint32_t generation, const std::string& name) {
    return std::to_string(generation) + "/" + link_prefix + name;
}

std::string Pins::path(uint32_t generation) const {
    return directory_ + "/" + std::to_string(generation);
}

std::vector<uint32_t> Pins::generations() const {
    std::vector<uint32_t> all;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(directory_, ignored)) {
        const std::string name = entry.path().filename();
        uint32_t number = 0;
        const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
        if (error == std::errc() && *end == '\0') all.push_back(number);
    }
    std::ranges::sort(all);
    return all;
}

bool Pins::has_link(uint32_t generation, const std::string& name) const {
    // Not access(), which asks for the real user, and forgets its capabilities: /sys/fs/bpf may be root's
    // alone.
    return inode_of(link_name(generation, name)) != 0;
}

Fd Pins::control() const {
    return Fd(bpf_obj_get(at(control_name()).c_str()));
}

Fd Pins::map(uint32_t generation, const std::string& name) const {
    return Fd(bpf_obj_get(at(map_name(generation, name)).c_str()));
}

Result<> Pins::pin(const std::string& path, int fd) const {
    if (bpf_obj_pin(fd, path.c_str()) != 0) return fail_errno("cannot pin " + path, errno);
    return {};
}

Result<> Pins::pin_control(int fd) const {
    return pin(at(control_name()), fd);
}

Result<> Pins::make_generation(uint32_t generation) const {
    const std::string made = path(generation);
    if (mkdir(made.c_str(), S_IRWXU) != 0) return fail_errno("cannot make " + made, errno);
    return {};
}

Result<> Pins::pin_map(uint32_t generation, const std::string& name, int fd) const {
    return pin(at(map_name(generation, name)), fd);
}

Result<> Pins::pin_link(uint32_t generation, const std::string& name, int fd) const {
    return pin(at(link_name(generation, name)), fd);
}

uint64_t Pins::inode_of(const std::string& name) const {
    struct stat found{};
    return stat(at(name).c_str(), &found) == 0 ? found.st_ino : 0;
}

Result<> Pins::pin_again(const std::string& name, int fd) {
    struct stat locked{}, there{};
    if (fstat(lock_.get(), &locked) != 0 || stat(directory_.c_str(), &there) != 0 ||
        locked.st_ino != there.st_ino || locked.st_dev != there.st_dev) {
        auto pins = open(directory_);
        if (!pins) return std::unexpected(std::move(pins.error()));
        lock_ = std::move(pins->lock_);
    }
    const fs::path path = at(name);
    if (mkdir(path.parent_path().c_str(), S_IRWXU) != 0 && errno != EEXIST)
        return fail_errno("cannot make " + path.parent_path().string(), errno);
    (void)unlink(path.c_str());
    return pin(path, fd);
}

void Pins::remove_links(uint32_t generation) const {
    remove_files(path(generation), link_prefix);
}

void Pins::remove_generation(uint32_t generation) const {
    remove_files(path(generation), "");
    (void)rmdir(path(generation).c_str());
}

Result<> Pins::remove_all() const {
    std::error_code problem;
    fs::remove_all(directory_, problem);
    if (problem) return fail_errno("cannot remove " + directory_, problem.value());
    return {};
}

}  // namespace tcptrail::capture
