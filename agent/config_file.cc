// SPDX-License-Identifier: Apache-2.0
#include "agent/config_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "agent/base/fd.h"
#include "agent/base/log.h"
#include "agent/config_values.h"

namespace tcptrail {

Result<std::string> read_small_file(const std::string& path, size_t max_bytes) {
    const std::string name = one_line(path);
    const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    struct stat status{};
    if (!file.valid() || fstat(file.get(), &status) != 0) return fail_errno(name + ": cannot be read", errno);
    if (S_ISDIR(status.st_mode)) return fail(name + ": is a directory");

    std::string content;
    char block[16384];
    while (content.size() <= max_bytes) {
        const ssize_t got = read(file.get(), block, sizeof block);
        if (got == 0) return content;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(name + ": cannot be read", errno);
        content.append(block, static_cast<size_t>(got));
    }
    return fail(fmt::format("{}: is larger than {}", name, show_size(max_bytes)));
}

}  // namespace tcptrail
