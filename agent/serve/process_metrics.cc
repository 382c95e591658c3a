// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>

#include "agent/base/clock.h"
#include "agent/serve/agent_metrics.h"

namespace tcptrail::serve {

namespace {

// Fields 20, 22 and 23 of /proc/self/stat.
struct Stat {
    uint64_t threads = 0, start_ticks = 0, virtual_bytes = 0;
};

std::optional<Stat> read_stat() {
    std::ifstream file("/proc/self/stat");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    // The name is in parentheses, and may have some itself.
    const size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) return std::nullopt;
    std::istringstream fields(text.substr(name_end + 1));
    std::string skipped;
    constexpr int before_threads = 17;  // fields 3 to 19
    for (int i = 0; i < before_threads; ++i)
        fields >> skipped;
    Stat stat;
    if (!(fields >> stat.threads >> skipped >> stat.start_ticks >> stat.virtual_bytes)) return std::nullopt;
    return stat;
}

std::optional<uint64_t> count_open_files() {
    std::error_code problem;
    uint64_t count = 0;
    for (std::filesystem::directory_iterator file("/proc/self/fd", problem), end; !problem && file != end;
         file.increment(problem))
        ++count;
    if (problem || count == 0) return std::nullopt;
    return count - 1;  // but for the one that reads the folder
}

}  // namespace

void write_process(Exposition& to, const v1::AgentReport& report) {
    to.counter("process_cpu_seconds_total", "Processor time of the agent, user and system.");
    to.real("", report.cpu_user_seconds() + report.cpu_system_seconds());
    to.gauge("process_resident_memory_bytes", "Resident memory of the agent.");
    if (report.has_memory_bytes()) to.integer("", report.memory_bytes());
    const auto stat = read_stat();
    to.gauge("process_virtual_memory_bytes", "Virtual memory of the agent.");
    if (stat) to.integer("", stat->virtual_bytes);
    to.gauge("process_threads", "Threads of the agent.");
    if (stat) to.integer("", stat->threads);
    // Whoever sets the clock does not start the agent anew.
    static const uint64_t boot_unix_nanos = boot_to_unix_offset();
    to.gauge("process_start_time_seconds", "When the agent was started, since 1970.");
    if (stat)
        to.real("", static_cast<double>(boot_unix_nanos) / 1e9 +
                        static_cast<double>(stat->start_ticks) / static_cast<double>(sysconf(_SC_CLK_TCK)));
    const auto files = count_open_files();
    to.gauge("process_open_fds", "Files that the agent has open.");
    if (files) to.integer("", *files);
    to.gauge("process_max_fds", "How many it may have.");
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) to.integer("", limit.rlim_cur);
}

}  // namespace tcptrail::serve
