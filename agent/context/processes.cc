// SPDX-License-Identifier: Apache-2.0
#include "agent/context/processes.h"

#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "agent/context/container.h"

namespace tcptrail::context {

namespace {

constexpr uint64_t nanos_per_second = 1'000'000'000;

// What can be read of it. A process may end between open() and read(), which is an error then (ESRCH):
// getline() takes it for the end of the file, where an iterator would throw.
std::string read_file(const std::string& path) {
    std::ifstream file(path);
    std::string text;
    std::getline(file, text, '\0');
    return text;
}

// Field 22 of /proc/<pid>/stat, clock ticks since boot; 0 when it cannot be read. The name, field 2, may
// hold anything, so fields are counted from the last parenthesis.
uint64_t start_ticks_of(std::string_view stat) {
    size_t at = stat.rfind(')');
    if (at == std::string_view::npos) return 0;
    for (int field = 3; field <= 22; ++field) {
        at = stat.find(' ', at);
        if (at == std::string_view::npos) return 0;
        ++at;
    }
    uint64_t ticks = 0;
    std::from_chars(stat.data() + at, stat.data() + stat.size(), ticks);
    return ticks;
}

// The first of the line "Uid:" in /proc/<pid>/status: real, as the kernel programs tell it.
// ~0 where there is none.
uint32_t real_uid_of(std::string_view status) {
    constexpr std::string_view label = "\nUid:\t";
    uint32_t uid = ~0u;
    if (const size_t at = status.find(label); at != std::string_view::npos)
        std::from_chars(status.data() + at + label.size(), status.data() + status.size(), uid);
    return uid;
}

}  // namespace

const Process& Processes::find(uint32_t pid, uint64_t start_ns, std::string_view name) {
    const auto found = by_pid_.find(pid);
    if (found != by_pid_.end()) {
        Entry& entry = *found->second;
        recent_.splice(recent_.begin(), recent_, found->second);
        if (entry.start_ns != start_ns || entry.name != name)
            entry = {pid, start_ns, std::string(name), read(pid, start_ns)};
        return entry.process;
    }
    if (recent_.size() >= capacity_) {
        by_pid_.erase(recent_.back().pid);
        recent_.pop_back();
    }
    recent_.push_front({pid, start_ns, std::string(name), read(pid, start_ns)});
    by_pid_[pid] = recent_.begin();
    return recent_.front().process;
}

Process Processes::read(uint32_t pid, uint64_t start_ns) const {
    const std::string folder = proc_ + "/" + std::to_string(pid);
    static const auto ticks_per_second = static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
    const uint64_t expected = start_ns / (nanos_per_second / ticks_per_second);
    const auto is_the_one = [&] { return start_ticks_of(read_file(folder + "/stat")) == expected; };
    if (start_ns && !is_the_one()) return {};
    Process process;
    std::error_code error;
    process.executable = without_deleted(std::filesystem::read_symlink(folder + "/exe", error).string());
    const ProcessCgroup cgroup = cgroup_of(read_file(folder + "/cgroup"));
    process.place = Place(cgroup.path);
    process.is_in_version_1 = cgroup.is_version_1;
    process.uid = real_uid_of(read_file(folder + "/status"));
    if (start_ns && !is_the_one()) return {};  // it ended meanwhile and another took its pid
    return process;
}

std::string_view without_deleted(std::string_view path) {
    constexpr std::string_view suffix = " (deleted)";
    if (path.ends_with(suffix)) path.remove_suffix(suffix.size());
    return path;
}

ProcessCgroup cgroup_of(std::string_view proc_cgroup) {
    std::string v2, v1;
    while (!proc_cgroup.empty()) {
        const std::string_view line = proc_cgroup.substr(0, proc_cgroup.find('\n'));
        proc_cgroup.remove_prefix(std::min(proc_cgroup.size(), line.size() + 1));
        const size_t first = line.find(':');  // hierarchy:controllers:path
        const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
        if (second == std::string_view::npos) continue;
        const std::string_view path = line.substr(second + 1);
        if (line.starts_with("0::"))
            v2 = path;
        else if (v1.empty() && !container_id_of(path).empty())
            v1 = path;
    }
    // Where the runtime leaves version 2 alone its containers are still in the daemon's group there.
    if (!v1.empty() && container_id_of(v2).empty()) return {v1, true};
    return {v2, false};
}

}  // namespace tcptrail::context
