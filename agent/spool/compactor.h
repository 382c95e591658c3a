// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "agent/spool/compression.h"
#include "agent/spool/database.h"
#include "agent/spool/shared.h"

namespace tcptrail::spool {

// Makes few large batches of the many small ones that wait in the backlog: a batch of ten events hardly
// compresses, one of two thousand does. That costs more than all else that the agent does with an event, so
// it begins where room may become short: the outages that are most frequent are short. It only reads; the
// appender puts the result in the place of what it was made of, unless the reader has come there first.
// Belongs to the spool-sync thread.
class Compactor {
public:
    // Merges nothing while the file has no more than `begin_bytes` in it and the disk has room.
    Compactor(std::shared_ptr<Shared> shared, uint64_t begin_bytes);

    // Once a second: what was there a round ago and is there still waits for longer.
    void begin_round();
    // Merges up to one batch's worth. Returns whether there may be more.
    SqlResult<bool> step(Database& store);

private:
    std::shared_ptr<Shared> shared_;
    const uint64_t begin_bytes_;
    Compressor compressor_;
    Decompressor decompressor_;
    uint64_t done_through_;      // ids
    uint64_t wait_through_ = 0;  // ids
    uint64_t seen_through_ = 0;  // ids
};

}  // namespace tcptrail::spool
