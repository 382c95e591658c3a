// SPDX-License-Identifier: Apache-2.0
//
// A spool that tools/spool_driver uses, with faults by tools/preload/disk_faults.so, and what must hold of
// it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/kafka/process.h"

namespace tests {

// What one run of spool_driver told before it ended. Events are numbers, from 0 on.
struct Told {
    int status = 0;  // exit status; 128 + the signal that ended it
    bool opened = false;
    uint64_t found = 0;           // the mark: all before it are committed
    uint64_t kept = 0;            // the last mark that was told as committed
    uint64_t end = 0;             // what was appended, or was just being
    std::set<uint64_t> released;  // delivered
    std::set<uint64_t> read;      // by `check`
    std::vector<std::string> errors;
    using Stats = std::map<std::string, uint64_t>;
    std::vector<Stats> stats;
    std::string output;
};

Told told_by(const std::string& output, int status);

class DrivenSpool {
public:
    // Below `folder`; what was there before is removed. With the bytes of another one, at rest.
    explicit DrivenSpool(const std::filesystem::path& folder);
    DrivenSpool(const std::filesystem::path& folder, const DrivenSpool& other);

    const std::filesystem::path& path() const { return path_; }
    // `faults`: the environment of disk_faults.so but for its folder. Is killed, status 137, when the time is
    // over.
    Told write(const std::vector<std::string>& settings = {}, const std::vector<std::string>& faults = {},
               seconds limit = seconds(60)) const;
    // `prefix`: a command that runs it.
    Told check(const std::vector<std::string>& prefix = {}) const;
    // How many file system calls `write` makes.
    uint64_t calls(const std::vector<std::string>& settings) const;

private:
    std::filesystem::path path_;
};

// In = what left, by reason, + held.
bool is_balanced(const Told::Stats& stats);

// Of a spool where `before` ended in order and `killed` did not: it starts, has all that was committed and
// not delivered, and tells of the rest.
void require_nothing_lost(const Told& before, const Told& killed, const Told& checked);

// Of one where `failed` met errors of the disk, which were over before it ended: it did not die, and all that
// is not delivered or held in the end is counted.
void require_account(const Told& before, const Told& failed, const Told& checked);

}  // namespace tests
