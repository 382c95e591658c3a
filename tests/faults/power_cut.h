// SPDX-License-Identifier: Apache-2.0
//
// What a disk may hold after the power was cut: rebuilt from what disk_faults.so wrote down.
#pragma once

#include <cstddef>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "tests/tools/preload/log.h"

namespace tests {

struct LoggedCall {
    DiskRecord record;
    std::string payload;
};

std::vector<LoggedCall> read_disk_log(const std::filesystem::path& path);

// Makes `to` what the folder `from` may be after a power cut behind the first `count` calls, which began with
// an empty folder. What was synced is there. Of what was written since: all, nothing, or some of the 4 KiB
// blocks in any order, one of them torn at a sector, and where the file had grown zeros for those that are
// not. Of the names that were made, changed and removed: those until some moment, and all before a sync of
// any file, as journalling file systems have it.
void cut_power(const std::vector<LoggedCall>& calls, size_t count, std::mt19937& random,
               const std::filesystem::path& to);

}  // namespace tests
