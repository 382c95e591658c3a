// SPDX-License-Identifier: Apache-2.0
#include "agent/context/kubelet_logs.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "agent/base/clock.h"

namespace tcptrail::context {
namespace {

// A node has a few hundred of them, a listing takes about 0.1 ms. What is not there is looked for this often.
constexpr uint64_t read_interval_ns = 100'000'000;
constexpr size_t most_names = 65536;  // beyond it the tables begin anew
constexpr size_t id_length = 64;

// What the API server lets pass: a name in DNS (RFC 1123).
bool is_name(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    });
}

// Takes the text up to the first underscore, which no name has, off `text`.
std::string_view take_name(std::string_view& text) {
    const size_t at = std::min(text.find('_'), text.size());
    const std::string_view name = text.substr(0, at);
    text.remove_prefix(std::min(at + 1, text.size()));
    return name;
}

// False: it cannot be read.
template <class Take>
bool read_folder(const std::string& path, Take take) {
    std::error_code error;
    for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end;
         entry.increment(error))
        take(std::string_view(entry->path().filename().native()));
    return !error;
}

// Whether it is time to look; then `last` is now.
bool is_due(uint64_t& last) {
    const uint64_t now = monotonic_nanos();
    if (last && now - last < read_interval_ns) return false;
    last = now;
    return true;
}

}  // namespace

const PodName* KubeletLogs::pod(std::string_view uid) {
    if (uid.empty() || folder_.empty()) return nullptr;
    auto found = pods_.find(uid);
    if (found == pods_.end() && is_due(pods_read_ns_)) {
        read_pods();
        found = pods_.find(uid);
    }
    return found == pods_.end() ? nullptr : &found->second;
}

std::string_view KubeletLogs::container(std::string_view id) {
    if (id.empty() || folder_.empty()) return {};
    auto found = containers_.find(id);
    if (found == containers_.end() && is_due(containers_read_ns_)) {
        read_containers();
        found = containers_.find(id);
    }
    return found == containers_.end() ? std::string_view() : found->second;
}

void KubeletLogs::read_pods() {
    if (pods_.size() > most_names) pods_.clear();
    are_readable_ = read_folder(folder_ + "/pods", [this](std::string_view uid) {
        const std::string_view name_space = take_name(uid), pod = take_name(uid);
        if (is_name(name_space) && is_name(pod) && is_name(uid))
            pods_.insert_or_assign(std::string(uid), PodName{std::string(pod), std::string(name_space)});
    });
}

void KubeletLogs::read_containers() {
    if (containers_.size() > most_names) containers_.clear();
    read_folder(folder_ + "/containers", [this](std::string_view file) {
        constexpr std::string_view suffix = ".log";
        const std::string_view pod = take_name(file), name_space = take_name(file);
        if (!is_name(pod) || !is_name(name_space) || !file.ends_with(suffix)) return;
        file.remove_suffix(suffix.size());
        // "<container>-<id>": a name that is too long for a file has lost its end, and with it the id.
        if (file.size() <= id_length + 1 || file[file.size() - id_length - 1] != '-') return;
        const std::string_view id = file.substr(file.size() - id_length);
        const std::string_view container = file.substr(0, file.size() - id_length - 1);
        if (is_name(container)) containers_.insert_or_assign(std::string(id), std::string(container));
    });
}

}  // namespace tcptrail::context
