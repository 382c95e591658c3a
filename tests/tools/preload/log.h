// SPDX-License-Identifier: Apache-2.0
//
// What disk_faults.so writes down of the calls that change files, in their order.
#pragma once

#include <cstdint>

namespace tests {

enum class DiskCall : uint32_t {
    open = 1,  // payload: the path; length: the file's size afterwards
    write,     // payload: the bytes
    truncate,  // offset: the new size
    sync,
    rename,  // payload: both paths, each with its zero
    unlink,  // payload: the path
    note,    // payload: what the program wrote to its standard output
};

struct DiskRecord {
    DiskCall call;
    uint32_t payload_bytes;
    uint64_t inode;
    uint64_t offset;
    uint64_t began_ns;  // CLOCK_MONOTONIC
};

}  // namespace tests
