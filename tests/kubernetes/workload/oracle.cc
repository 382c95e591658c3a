// SPDX-License-Identifier: Apache-2.0
#include "tests/kubernetes/workload/oracle.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace workload {
namespace {

// A file for each run of a container: what is restarted appends to nobody's.
int open_file() {
    const std::string folder = setting("ORACLE");
    if (folder.empty()) return -1;
    const std::string path = folder + "/" + setting("POD_NAME") + "." + setting("CONTAINER") + "." +
                             std::to_string(unix_nanos()) + ".csv";
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) fail(path);
    return fd;
}

std::string address(const sockaddr_in& of) {
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &of.sin_addr, text, sizeof text);
    return std::string(text) + "," + std::to_string(ntohs(of.sin_port));
}

}  // namespace

void fail(const std::string& what) {
    std::fprintf(stderr, "workload: %s: %s\n", what.c_str(), std::strerror(errno));
    std::exit(1);
}

std::string setting(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

uint64_t unix_nanos() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

void write_line(const Line& line) {
    static const int file = open_file();
    static const std::string who = setting("POD_NAMESPACE") + "," + setting("POD_NAME") + "," +
                                   setting("POD_UID") + "," + setting("CONTAINER") + ",";
    if (file < 0) return;
    const std::string text = who + line.role + "," + address(line.local) + "," + address(line.remote) + "," +
                             line.plan + "," + line.outcome + "," + line.end + "," +
                             std::to_string(line.error) + "," + std::to_string(line.opened) + "," +
                             std::to_string(line.ended) + "\n";
    if (write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) fail("the oracle's file");
}

}  // namespace workload
