// SPDX-License-Identifier: Apache-2.0
#include "agent/base/file_state.h"

#include <sys/stat.h>

namespace tcptrail {

FileState file_state(const std::string& path) {
    struct stat file{};
    if (stat(path.c_str(), &file) != 0) return {};
    return {true, file.st_dev, file.st_ino, file.st_size,
            int64_t{file.st_mtim.tv_sec} * 1'000'000'000 + file.st_mtim.tv_nsec};
}

}  // namespace tcptrail
