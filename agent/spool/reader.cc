// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/reader.h"

#include <fmt/format.h>

#include <algorithm>

namespace tcptrail::spool {

Result<std::unique_ptr<SpoolReader>> SpoolReader::open(std::shared_ptr<Shared> shared) {
    std::unique_ptr<SpoolReader> reader(new SpoolReader(std::move(shared)));
    return reader;
}

SqlResult<> SpoolReader::attach() {
    // While the file is being replaced its parts do not belong together.
    MutexLock turn(shared_->turn);
    select_ = {};
    before_ = {};
    auto database = open_view(shared_->path);
    if (!database) return std::unexpected(database.error());
    database_ = std::move(*database);
    if (auto done = database_.execute("PRAGMA query_only = ON"); !done) return done;
    auto select = database_.prepare("SELECT * FROM batch WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT 1");
    if (!select) return std::unexpected(select.error());
    select_ = std::move(*select);
    auto before = database_.prepare("SELECT id FROM batch WHERE id < ?1 ORDER BY id DESC LIMIT 1");
    if (!before) return std::unexpected(before.error());
    before_ = std::move(*before);
    generation_ = shared_->generation;
    return {};
}

std::unexpected<Error> SpoolReader::failed(const SqlError& error) {
    // What a file that was replaced is like is of no interest.
    if (error.corrupt() && shared_->generation == generation_) shared_->corrupt = true;
    return error.within("cannot read the spool " + shared_->path);
}

Result<std::optional<Batch>> SpoolReader::next() {
    auto live = next(Lane::live);
    if (live && *live) return live;
    auto backlog = next(Lane::backlog);
    return !live && backlog && !*backlog ? std::move(live) : std::move(backlog);
}

Result<std::optional<Batch>> SpoolReader::next(Lane lane) {
    auto batch = next_in_file(lane);
    if (batch && *batch) return batch;
    // Also when the file cannot be read: what is in it comes when it can be again.
    if (auto other = next_in_memory(lane)) return other;
    return batch;
}

std::optional<Batch> SpoolReader::next_in_memory(Lane lane) {
    auto taken = shared_->memory.take(lane, shared_->max_taken_memory);
    if (!taken) return std::nullopt;
    Batch batch;
    batch.id = taken->id;
    batch.lane = lane;
    batch.created_unix_nanos = taken->batch.created_unix_nanos;
    if (auto plain = decompressor_.unpack(taken->batch.payload)) batch.payload = std::move(*plain);
    if (auto messages = parse_payload(batch.payload)) batch.messages = std::move(*messages);
    return batch;
}

Result<std::optional<Batch>> SpoolReader::next_in_file(Lane lane) {
    const LaneState& state = shared_->lanes[lane];
    for (;;) {
        if (shared_->generation == 0) return std::nullopt;
        if (!select_.get() || shared_->generation != generation_)
            if (auto done = attach(); !done) return failed(done.error());
        if (taken_bytes_ >= shared_->max_taken_bytes && taken_bytes_ > 0) return std::nullopt;
        const uint64_t merges = shared_->merges;
        uint64_t claimed = state.claimed;
        if (claimed >= state.appended_through) return std::nullopt;

        Query query(select_, claimed, last_possible_id(lane));
        auto found = query.step();
        if (!found) return failed(found.error());
        if (!*found) {
            // Evicted, or the file replaced, in the meantime; otherwise it has lost what was appended.
            if (state.claimed != claimed || shared_->generation != generation_) continue;
            return failed(SqlError::malformed(fmt::format("nothing is found after batch {}", claimed)));
        }
        const Row row = read_row(query);
        const uint64_t id = row.head.id;
        auto placed = in_place(row, claimed);
        if (!placed) return failed(placed.error());
        if (!*placed) return failed(SqlError::malformed(fmt::format("batch {} is not in its place", id)));
        Batch batch;
        if (row.whole) {
            batch.id = id;
            batch.lane = lane;
            batch.created_unix_nanos = row.head.created_unix_nanos;
            if (auto plain = decompressor_.unpack(row.payload)) batch.payload = std::move(*plain);
            if (auto messages = parse_payload(batch.payload); messages && messages->size() == row.head.events)
                batch.messages = std::move(*messages);
        }
        const bool good = !batch.messages.empty();
        // The appender may evict or merge it right now; whoever moves the mark has it.
        const Taken taken{id, batch.messages.size(), good ? row.head.bytes : 0, !good};
        if (!take(claimed, merges, taken)) continue;
        if (good) return batch;
        advance(lane);
    }
}

// A damaged id, or a damaged way to the rows, could make us pass over batches that are whole. Ids are
// contiguous, but for what was dropped.
SqlResult<bool> SpoolReader::in_place(const Row& row, uint64_t claimed) {
    if (row.head.id == claimed + 1) return true;
    if (row.head.id <= claimed || !row.head_whole) return false;
    Query query(before_, row.head.id);
    auto found = query.step();
    if (!found) return std::unexpected(found.error());
    return !*found || query.integer(0) <= claimed;
}

bool SpoolReader::take(uint64_t claimed, uint64_t merges, const Taken& batch) {
    MutexLock lock(shared_->mutex);
    if (shared_->merges != merges) return false;
    const Lane lane = lane_of(batch.id);
    if (!shared_->lanes[lane].claimed.compare_exchange_strong(claimed, batch.id)) return false;
    if (batch.released) shared_->damaged.push_back(batch.id);
    shared_->reading.taken_batches[lane]++;
    shared_->reading.taken_events += batch.events;
    shared_->reading.taken_bytes += batch.bytes;
    taken_bytes_ += batch.bytes;
    taken_[lane].push_back(batch);
    return true;
}

SpoolReader::Taken* SpoolReader::find(uint64_t id) {
    auto& taken = taken_[lane_of(id)];
    const auto found = std::ranges::lower_bound(taken, id, {}, &Taken::id);
    return found == taken.end() || found->id != id ? nullptr : &*found;
}

void SpoolReader::set_aside(uint64_t id, const MessageView& message) {
    if (id >= MemoryBuffer::first_id)
        shared_->memory.set_aside(id);
    else if (Taken* found = find(id))
        found->too_large++;
    PayloadBuilder builder;
    builder.add({message.topic, std::string(message.key), std::string(message.value)});
    std::string payload = compressor_.pack(builder.take());
    if (payload.size() > max_set_aside_bytes) return;
    MutexLock lock(shared_->mutex);
    shared_->set_aside.push_back(std::move(payload));
    if (shared_->set_aside.size() > max_set_aside) shared_->set_aside.pop_front();
}

void SpoolReader::release(uint64_t id) {
    if (id >= MemoryBuffer::first_id) {
        shared_->memory.release(id);
        return;
    }
    Taken* found = find(id);
    if (!found || found->released) return;
    found->released = true;
    taken_bytes_ -= found->bytes;
    advance(lane_of(id));
}

// Tells what is released from the oldest on.
void SpoolReader::advance(Lane lane) {
    auto& taken = taken_[lane];
    MutexLock lock(shared_->mutex);
    Reading& reading = shared_->reading;
    for (; !taken.empty() && taken.front().released; taken.pop_front()) {
        const Taken& oldest = taken.front();
        reading.released_through[lane] = oldest.id;
        reading.taken_batches[lane]--;
        reading.released_events += oldest.events;
        reading.released_bytes += oldest.bytes;
        reading.too_large_events += oldest.too_large;
        reading.taken_events -= oldest.events;
        reading.taken_bytes -= oldest.bytes;
    }
}

}  // namespace tcptrail::spool
