// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace tcptrail {

// By what a file that was replaced, or written anew, is told from the one before.
struct FileState {
    bool there = false;
    dev_t device = 0;
    ino_t inode = 0;
    int64_t size = 0;
    int64_t modified_ns = 0;
    bool operator==(const FileState&) const = default;
};

// Behind symbolic links: Kubernetes replaces a secret by changing one.
FileState file_state(const std::string& path);

}  // namespace tcptrail
