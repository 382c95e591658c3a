// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent/base/error.h"
#include "agent/spool/lane.h"
#include "agent/spool/schema.h"

namespace tcptrail::spool {

// What is known of a spool's file beside it, in <path>-accounts: as it was at a commit of the last second.
// Where the file is gone, cannot be read or has lost its last commits, it tells what is missing. Never ahead
// of what was committed.
struct Accounts {
    uint64_t inode = 0;  // of the file
    Totals totals;
    PerLane<uint64_t> released_through;  // batches up to here are delivered, and removed
    std::string mark;                    // see Spool::append
    uint64_t boot = 0;                   // this_boot() of who wrote it

    bool operator==(const Accounts&) const = default;
};

// Tells one boot of the machine from another; 0: unknown.
uint64_t this_boot();

// Nothing: there are none, or they are damaged.
std::optional<Accounts> read_accounts(const std::string& path);
// In place, and not synced.
Result<> write_accounts(const std::string& path, const Accounts& accounts);

// What the totals are when the file has only `found`, and `known` was committed once. What was appended in
// between is lost, but for what was delivered; what it has beyond that was delivered already, and is there
// once more.
Totals catch_up(const Totals& found, const Totals& known);

}  // namespace tcptrail::spool
