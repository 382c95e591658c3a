// SPDX-License-Identifier: Apache-2.0
#include "agent/context/namespaces.h"

#include <charconv>
#include <fstream>
#include <vector>

namespace tcptrail::context {

namespace {

// A process that ends between open() and read() makes read() fail: getline() takes that for the end of the
// file.
std::string content_of(const std::string& path) {
    std::ifstream file(path);
    std::string text;
    std::getline(file, text, '\0');
    return text;
}

std::string net_file(const std::string& proc, uint32_t pid, const char* name) {
    return content_of(proc + "/" + std::to_string(pid) + "/net/" + name);
}

std::vector<std::string_view> words_of(std::string_view line) {
    std::vector<std::string_view> words;
    while (true) {
        const size_t begin = line.find_first_not_of(' ');
        if (begin == std::string_view::npos) return words;
        line.remove_prefix(begin);
        const size_t length = std::min(line.find(' '), line.size());
        words.push_back(line.substr(0, length));
        line.remove_prefix(length);
    }
}

// The lines that begin with "block:", without it.
std::vector<std::string_view> lines_of(std::string_view text, std::string_view block) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        const size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        if (line.starts_with(block) && line.substr(block.size()).starts_with(':'))
            lines.push_back(line.substr(block.size() + 1));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return lines;
}

std::optional<uint64_t> number_of(std::string_view word) {
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
    return number;
}

std::optional<uint64_t> opens_of(std::string_view snmp) {
    const auto active = counter_of(snmp, "Tcp", "ActiveOpens");
    const auto passive = counter_of(snmp, "Tcp", "PassiveOpens");
    if (!active || !passive) return std::nullopt;
    return *active + *passive;
}

}  // namespace

std::optional<uint64_t> counter_of(std::string_view text, std::string_view block, std::string_view name) {
    const auto lines = lines_of(text, block);
    if (lines.size() < 2) return std::nullopt;
    const auto names = words_of(lines[0]), numbers = words_of(lines[1]);
    for (size_t i = 0; i < std::min(names.size(), numbers.size()); ++i)
        if (names[i] == name) return number_of(numbers[i]);
    return std::nullopt;
}

std::optional<uint64_t> sockstat_of(std::string_view text, std::string_view block, std::string_view name) {
    for (const std::string_view line : lines_of(text, block)) {
        const auto words = words_of(line);
        for (size_t i = 0; i + 1 < words.size(); i += 2)
            if (words[i] == name) return number_of(words[i + 1]);
    }
    return std::nullopt;
}

std::optional<uint64_t> read_opens(const std::string& proc, uint32_t pid) {
    return opens_of(net_file(proc, pid, "snmp"));
}

std::optional<NamespaceCounts> read_namespace_counts(const std::string& proc, uint32_t pid) {
    const auto opens = read_opens(proc, pid);
    if (!opens) return std::nullopt;
    NamespaceCounts counts;
    counts.opens = *opens;
    const std::string netstat = net_file(proc, pid, "netstat");
    counts.listen_overflows = counter_of(netstat, "TcpExt", "ListenOverflows");
    counts.listen_drops = counter_of(netstat, "TcpExt", "ListenDrops");
    counts.syncookies_sent = counter_of(netstat, "TcpExt", "SyncookiesSent");
    counts.time_wait = sockstat_of(net_file(proc, pid, "sockstat"), "TCP", "tw");
    return counts;
}

}  // namespace tcptrail::context
