// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "agent/base/error.h"
#include "agent/spool/batch.h"
#include "agent/spool/compression.h"
#include "agent/spool/database.h"
#include "agent/spool/schema.h"
#include "agent/spool/shared.h"

namespace tcptrail::spool {

// The reading side of a spool. Belongs to one thread.
class SpoolReader {
public:
    static Result<std::unique_ptr<SpoolReader>> open(std::shared_ptr<Shared> shared);

    // The oldest batch of the lane that nobody has taken, now taken by the caller: it stays in the spool,
    // safe from eviction, until it is released. Nothing: there is none, or the caller holds as much as it may
    // (half of the spool's bound; one batch always). A damaged batch is told to the appender and passed over.
    // While the disk does not take what is appended, batches come from memory once the file has no more that
    // can be read. Within a connection the order is kept when the backlog is read only where the live lane
    // has nothing.
    Result<std::optional<Batch>> next(Lane lane);
    // Of the live lane, or else of the backlog.
    Result<std::optional<Batch>> next();

    // The caller is done with a batch; in any order. Deleted by the appender once all that was taken
    // before it is released too; until then a crash brings it back.
    void release(uint64_t id);

    // The brokers refuse a message of a batch that the caller has: it is counted as too_large when the batch
    // is released, and kept for the administrator, as far as there is room.
    void set_aside(uint64_t id, const MessageView& message);

    // What was taken from memory and not released waits for the disk again. At the end: before the Spool's.
    void give_back() { shared_->memory.give_back(); }

    // Becomes readable when a batch was appended; stays so until its 8 bytes are read. Owned by the spool;
    // others may write to it to wake the reader's thread.
    int wake_fd() const { return shared_->wake.get(); }

private:
    struct Taken {
        uint64_t id;
        uint64_t events;  // 0 when it is damaged
        uint64_t bytes;
        bool released;
        uint64_t too_large = 0;  // of the events
    };

    explicit SpoolReader(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
    Result<std::optional<Batch>> next_in_file(Lane lane);
    std::optional<Batch> next_in_memory(Lane lane);
    SqlResult<> attach();
    std::unexpected<Error> failed(const SqlError& error);
    SqlResult<bool> in_place(const Row& row, uint64_t claimed);
    Taken* find(uint64_t id);
    bool take(uint64_t claimed, uint64_t merges, const Taken& batch);
    void advance(Lane lane);

    std::shared_ptr<Shared> shared_;
    Database database_;
    Statement select_;  // the first row between two ids
    Statement before_;  // the id of the last row before one
    Decompressor decompressor_;
    Compressor compressor_{dense_level};
    uint32_t generation_ = 0;
    PerLane<std::deque<Taken>> taken_;  // by id; the front is not released
    uint64_t taken_bytes_ = 0;          // not released
};

}  // namespace tcptrail::spool
