// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/mixed/oracle.h"

#include <fcntl.h>
#include <sys/prctl.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <stdexcept>

namespace mix {
namespace {

constexpr const char* header =
    "role,netns,local_address,local_port,remote_address,remote_port,pid,name,listener_pid,listener_name,"
    "fate,outcome,end,error_number,ended_here,sent,received,syn,opened_unix_nanos\n";

void append(const std::string& path, const std::string& text) {
    const int fd = open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0) fail(path);
    const ssize_t written = write(fd, text.data(), text.size());
    close(fd);
    if (written < 0) fail(path);
    if (static_cast<size_t>(written) != text.size()) throw std::runtime_error(path + ": not all was written");
}

// What an event says of an attempt that ended with this errno.
const char* outcome_of(Fate fate, int error) {
    if (fate == Fate::abandoned) return "ABANDONED";
    switch (error) {
        case ECONNREFUSED:
            return "REFUSED";
        case ETIMEDOUT:
            return "TIMED_OUT";
        case EHOSTUNREACH:
            return "HOST_UNREACHABLE";
        case ENETUNREACH:
            return "NETWORK_UNREACHABLE";
        case EADDRNOTAVAIL:
            return "NO_LOCAL_PORT";
        case EACCES:
            return "DENIED";
        default:
            throw std::runtime_error(std::string("an attempt ended with ") + std::strerror(error));
    }
}

}  // namespace

Process become(const std::string& name) {
    if (prctl(PR_SET_NAME, name.c_str()) != 0) fail("PR_SET_NAME");
    return {getpid(), name.substr(0, 15)};
}

uint64_t unix_nanos() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

void Oracle::create(const std::string& path) {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) fail(path);
    close(fd);
    append(path, header);
}

void Oracle::add_client(const End& end) {
    add("CLIENT", end, is_established(end.fate) ? "ESTABLISHED" : outcome_of(end.fate, end.error),
        client_end(end.fate));
}

void Oracle::add_server(const End& end) {
    add("SERVER", end, "ESTABLISHED", server_end(end.fate));
}

void Oracle::add(const char* role, const End& end, const char* outcome, const char* how) {
    const bool ended_here = std::strncmp(how, "LOCAL_", 6) == 0 || end.fate == Fate::abandoned;
    const auto field = [this](const std::string& text) { lines_ += text + ','; };
    field(role);
    field(std::to_string(netns_));
    field(is_established(end.fate) ? end.local.text() : "");
    field(std::to_string(end.local.port()));
    field(end.remote.text());
    field(std::to_string(end.remote.port()));
    field(std::to_string(self_.pid));
    field(self_.name);
    field(end.listener.pid == 0 ? "" : std::to_string(end.listener.pid));
    field(end.listener.name);
    field(name(end.fate));
    field(outcome);
    field(how);
    field(std::to_string(end.error));
    field(ended_here ? "1" : "0");
    field(std::to_string(end.sent));
    field(std::to_string(end.received));
    field(sends_syn(end.fate) ? "1" : "0");
    lines_ += std::to_string(end.opened_unix_nanos) + '\n';
}

void Oracle::flush() {
    if (!lines_.empty()) append(path_, lines_);
    lines_.clear();
}

}  // namespace mix
