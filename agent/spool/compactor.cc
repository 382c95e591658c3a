// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/compactor.h"

#include <algorithm>
#include <string>
#include <utility>

#include "agent/base/clock.h"
#include "agent/spool/batch.h"
#include "agent/spool/schema.h"

namespace tcptrail::spool {
namespace {

constexpr size_t max_waiting = 4;  // merged, not in the file yet: bounds memory
// What fills a batch to less than this is left as it is: it was large when it came.
constexpr size_t small_bytes = max_batch_bytes / 2;
// Where little happens a batch is not filled for days: damage would cost as much, and expiry be as coarse.
constexpr uint64_t longest_span_nanos = 3'600'000'000'000;

}  // namespace

// What an earlier run has left unmerged stays so: to look for it would be to read all.
Compactor::Compactor(std::shared_ptr<Shared> shared, uint64_t begin_bytes)
    : shared_(std::move(shared)),
      begin_bytes_(begin_bytes),
      compressor_(dense_level),
      done_through_(shared_->lanes[Lane::backlog].appended_through) {}

void Compactor::begin_round() {
    wait_through_ = std::exchange(seen_through_, shared_->lanes[Lane::backlog].appended_through);
}

SqlResult<bool> Compactor::step(Database& store) {
    if (shared_->stored_bytes <= begin_bytes_ && !shared_->scarce) return false;
    {
        MutexLock lock(shared_->mutex);
        if (shared_->merged.size() >= max_waiting) return true;
    }
    done_through_ = std::max<uint64_t>(done_through_, shared_->lanes[Lane::backlog].claimed);
    if (done_through_ >= wait_through_) return false;
    auto select = store.prepare("SELECT * FROM batch WHERE id > ?1 AND id <= ?2 ORDER BY id");
    if (!select) return std::unexpected(select.error());

    Merged merged;
    std::string plain(1, plain_payload);
    uint64_t oldest_unix_nanos = 0;
    bool full = false;
    {
        Query rows(*select, done_through_, wait_through_);
        while (!full) {
            auto found = rows.step();
            if (!found) return std::unexpected(found.error());
            if (!*found) break;
            const Row row = read_row(rows);
            auto payload = row.whole ? decompressor_.unpack(row.payload) : fail("damaged");
            // The reader will find out what is wrong with it. What comes after it is merged next time.
            const bool good = payload && !payload->empty() && (*payload)[0] == plain_payload;
            full =
                !good || plain.size() + payload->size() > max_batch_bytes ||
                (merged.events > 0 && row.head.created_unix_nanos > oldest_unix_nanos + longest_span_nanos);
            if (full && merged.events > 0) break;
            if (!good) {
                done_through_ = std::max(row.head.id, done_through_ + 1);
                return true;
            }
            if (merged.events == 0) {
                merged.first_id = row.head.id;
                oldest_unix_nanos = row.head.created_unix_nanos;
            }
            plain.append(payload->begin() + 1, payload->end());
            merged.last_id = row.head.id;
            merged.created_unix_nanos = row.head.created_unix_nanos;
            merged.events += row.head.events;
        }
    }
    // More is to come; but not for ever.
    const bool waited = merged.events > 0 && shared_->time.now() > oldest_unix_nanos + longest_span_nanos;
    if (!full && plain.size() < small_bytes && !waited) return false;
    done_through_ = merged.last_id;
    merged.payload = compressor_.pack_densely(std::move(plain));
    MutexLock lock(shared_->mutex);
    shared_->merged.push_back(std::move(merged));
    return true;
}

}  // namespace tcptrail::spool
