// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/memory_limit.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

namespace tcptrail::capture {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t connection_bytes = 272;  // 256 and its share of the buckets (bpf/README.md)
constexpr uint64_t least_connections = 1024;
constexpr uint64_t overflow_record_bytes = 528;  // 512 and its share of the buckets
constexpr uint32_t least_ring_bytes = 64 << 10;
// The process with Kafka and spool has 40 MiB under load, and half of a small limit or this much of a larger
// one.
constexpr uint64_t process_bytes = 64 << 20;
constexpr uint64_t least_limit = 80 << 20;

bool has_word(const std::string& words, const char* word) {
    std::istringstream list(words);
    for (std::string one; std::getline(list, one, ',');)
        if (one == word) return true;
    return false;
}

// A hierarchy of cgroups that limits memory, and where this process is in it.
struct Hierarchy {
    fs::path mount, root, cgroup;  // root: what of the hierarchy is mounted
    const char* const* files;
};

constexpr const char* v1_files[] = {"memory.limit_in_bytes", nullptr};
constexpr const char* v2_files[] = {"memory.max", "memory.high", nullptr};

// proc_pid_cgroup(5): number:controllers:path
std::string cgroup_of(const std::string& proc, const char* controller) {
    std::ifstream file(proc + "/self/cgroup");
    for (std::string line; std::getline(file, line);) {
        const size_t first = line.find(':'), second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        if (*controller ? has_word(controllers, controller) : controllers.empty())
            return line.substr(second + 1);
    }
    return {};
}

// proc_pid_mountinfo(5): id parent device root mount options [tags] - type source options
std::vector<Hierarchy> hierarchies(const std::string& proc) {
    std::vector<Hierarchy> found;
    std::ifstream file(proc + "/self/mountinfo");
    for (std::string line; std::getline(file, line);) {
        std::istringstream fields(line), tail(line.substr(std::min(line.size(), line.find(" - ") + 3)));
        std::string skipped, root, mount, type, source, options;
        fields >> skipped >> skipped >> skipped >> root >> mount;
        tail >> type >> source >> options;
        if (type == "cgroup" && has_word(options, "memory"))
            found.push_back({mount, root, cgroup_of(proc, "memory"), v1_files});
        else if (type == "cgroup2")
            found.push_back({mount, root, cgroup_of(proc, ""), v2_files});
    }
    return found;
}

// "max" and the like are no limit.
std::optional<uint64_t> read_limit(const fs::path& path) {
    std::ifstream file(path);
    std::string text;
    uint64_t value = 0;
    if (!(file >> text) || std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc())
        return std::nullopt;
    // Without a limit v1 tells the largest number of pages.
    return value < uint64_t{1} << 62 ? std::optional(value) : std::nullopt;
}

std::string mebibytes(uint64_t bytes) {
    const uint64_t mib = bytes >> 20;
    return mib ? std::to_string(mib) + " MiB" : std::to_string(bytes >> 10) + " KiB";
}

}  // namespace

std::optional<uint64_t> memory_limit(const std::string& proc) {
    std::optional<uint64_t> least;
    for (const Hierarchy& hierarchy : hierarchies(proc)) {
        // In a container a part is mounted, and the path may be the host's or the container's own.
        fs::path within = hierarchy.cgroup.lexically_relative(hierarchy.root);
        if (within.empty() || *within.begin() == "..") within = ".";
        fs::path folder = (hierarchy.mount / within).lexically_normal();
        std::error_code problem;
        if (!fs::exists(folder, problem)) folder = hierarchy.mount;
        while (true) {
            for (const char* const* name = hierarchy.files; *name; ++name)
                if (const auto limit = read_limit(folder / *name))
                    least = std::min(least.value_or(*limit), *limit);
            if (folder == hierarchy.mount || !folder.has_relative_path()) break;
            folder = folder.parent_path();
        }
    }
    return least;
}

std::string fit_into_memory(Options& options, uint64_t limit) {
    std::string smaller;
    const auto fit = [&](const char* key, uint32_t& value, uint64_t most, const auto& say) {
        if (value <= most) return;
        smaller += (smaller.empty() ? "" : ", ") + std::string("capture.") + key + " " + say(most) +
                   " instead of " + say(value);
        value = static_cast<uint32_t>(most);
    };
    const auto number = [](uint64_t value) { return std::to_string(value); };
    const uint64_t room = limit - std::min(limit / 2, process_bytes);
    fit("ring_bytes", options.ring_bytes, std::max<uint64_t>(std::bit_floor(room / 4), least_ring_bytes),
        mebibytes);
    fit("overflow_records", options.overflow_records, room / 6 / overflow_record_bytes, number);
    fit("max_connections", options.max_connections,
        std::max<uint64_t>(room / 3 / connection_bytes, least_connections), number);
    if (smaller.empty()) return {};
    if (limit < least_limit)
        smaller += "; below " + mebibytes(least_limit) + " the kernel may kill the process";
    return "sized for the " + mebibytes(limit) + " of memory that the cgroup has: " + smaller;
}

}  // namespace tcptrail::capture
