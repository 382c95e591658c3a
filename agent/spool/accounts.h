// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent/base/error.h"
#include "agent/spool/batch.h"
#include "agent/spool/lane.h"
#include "agent/spool/schema.h"

namespace tcptrail::spool {

// What of a lane is delivered, and removed from the file: batches up to that id, of this process; and those
// of that time or earlier, whoever appended them. Ids of the live lane begin anew with each process.
struct Delivered {
    uint64_t id = 0;
    uint64_t created_unix_nanos = 0;

    bool operator==(const Delivered&) const = default;
    bool has(const RowHead& head) const {
        return head.id <= id || head.created_unix_nanos <= created_unix_nanos;
    }
};

// What is known of a spool's file beside it, in <path>-accounts: as it was at a commit of the last second.
// Where the file is gone, cannot be read or has lost its last commits, it tells what is missing. Never ahead
// of what was committed.
struct Accounts {
    uint64_t inode = 0;  // of the file
    Totals totals;
    PerLane<Delivered> delivered;     // of these only the times are stored
    std::string mark;                 // see Spool::append
    uint64_t boot = 0;                // this_boot() of who wrote it
    uint64_t unix_nanos_at_boot = 0;  // the beginning of CLOCK_BOOTTIME by his SteadyTime

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
// once more. Where the newest were delivered before older ones (README.md, "Two lanes"), it is the most that
// may be lost.
Totals catch_up(const Totals& found, const Totals& known);

}  // namespace tcptrail::spool
