// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "agent/base/clock.h"
#include "agent/base/service.h"
#include "agent/spool/schema.h"

namespace tcptrail::spool {
namespace {

// A page of the table that cannot be read hides a run of ids; no longer run than this is stepped over.
constexpr uint64_t max_unreadable_ids = 1 << 16;

// A large spool takes longer to copy than a service manager waits: it hears of us meanwhile, once a second.
class Progress {
public:
    void tell() {
        const uint64_t now = monotonic_nanos();
        if (now - told_ns_ < interval_ns) return;
        told_ns_ = now;
        service::tell_busy();
    }

private:
    static constexpr uint64_t interval_ns = 1'000'000'000;
    uint64_t told_ns_ = 0;
};

// Copies whole batches, each of them once.
class Copy {
public:
    Copy(Database& store, const Statement& insert) : store_(store), insert_(insert) {}

    SqlResult<> add(const Row& row) {
        progress_.tell();
        if (!row.whole) return {};
        if (auto done = insert_row(insert_, row.head, row.payload); !done) return done;
        if (store_.changes() == 0) return {};
        events_ += row.head.events;
        bytes_ += row.head.bytes;
        if (lane_of(row.head.id) == Lane::backlog) last_id_ = std::max(last_id_, row.head.id);
        return {};
    }
    // What the accounts are, when `before` is what they were.
    Totals totals(Totals before) const {
        if (events_ > before.events)
            before.in += events_ - before.events;
        else
            before.damaged += before.events - events_;
        before.events = events_;
        before.bytes = bytes_;
        before.last_id = std::max(before.last_id, last_id_);
        return before;
    }

    Progress& progress() { return progress_; }

private:
    Database& store_;
    const Statement& insert_;
    Progress progress_;
    uint64_t events_ = 0;
    uint64_t bytes_ = 0;
    uint64_t last_id_ = 0;  // of the backlog
};

// From leaf to leaf: needs no id to find the next. False: it ended at a page that cannot be read.
SqlResult<bool> copy_in_order(const Statement& all, Copy& copy) {
    Query query(all);
    for (;;) {
        auto found = query.step();
        if (!found) return false;
        if (!*found) return true;
        if (auto done = copy.add(read_row(query)); !done) return std::unexpected(done.error());
    }
}

// From id to id: steps over what cannot be read.
SqlResult<> copy_by_id(const Statement& from, uint64_t id, Copy& copy) {
    for (uint64_t unreadable = 0; unreadable < max_unreadable_ids;) {
        Query query(from, id);
        auto found = query.step();
        copy.progress().tell();
        if (!found) {
            unreadable++;
            id++;
            continue;
        }
        if (!*found) break;
        unreadable = 0;
        const Row row = read_row(query);
        if (auto done = copy.add(row); !done) return done;
        // The id of a damaged row may be wrong: the next one is looked for where it should be.
        const bool far = row.head.id < id || row.head.id - id >= max_unreadable_ids;
        id = row.whole || far ? std::max(id, row.head.id) + 1 : id + 1;
    }
    return {};
}

// As far as they can be read: they are counted whether they are there or not.
SqlResult<> copy_set_aside(Database& from, Database& store) {
    auto all = from.prepare(select_set_aside);
    auto insert = store.prepare(insert_into_set_aside);
    if (!insert) return std::unexpected(insert.error());
    if (!all) return {};
    Query query(*all);
    for (auto found = query.step(); found && *found; found = query.step()) {
        const SetAside message = read_set_aside(query);
        if (!message.whole) continue;
        if (auto done = insert_set_aside(*insert, message.created_unix_nanos, message.payload); !done)
            return done;
    }
    return {};
}

}  // namespace

SqlResult<> salvage(Database& from, Database& store) {
    // It lets SQLite read a file that is shorter than its header says.
    (void)from.execute("PRAGMA writable_schema = ON");
    auto format = from.value("PRAGMA user_version");
    if (!format || *format < 1 || *format > format_version) return {};
    Totals before;
    if (auto totals = read_totals(from)) before = *totals;
    const std::string last_mark = read_mark(from).value_or(std::string());
    auto all = from.prepare("SELECT * FROM batch");
    auto from_id = from.prepare("SELECT * FROM batch WHERE id >= ?1 ORDER BY id LIMIT 1");
    if (!all || !from_id) return {};

    auto insert = store.prepare("INSERT OR IGNORE INTO batch VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    if (!insert) return std::unexpected(insert.error());
    auto totals = store.prepare(update_totals);
    if (!totals) return std::unexpected(totals.error());
    auto mark = store.prepare(update_mark);
    if (!mark) return std::unexpected(mark.error());
    SqlResult<> done = store.execute("BEGIN IMMEDIATE");
    if (!done) return done;
    Copy copy(store, *insert);
    auto complete = copy_in_order(*all, copy);
    if (!complete) done = std::unexpected(complete.error());
    for (Lane lane : lanes)
        if (done && complete && !*complete) done = copy_by_id(*from_id, first_id(lane), copy);
    if (done) done = write_totals(*totals, copy.totals(before));
    if (done) done = copy_set_aside(from, store);
    if (done) done = write_mark(*mark, last_mark);
    // The commit syncs all of it, and as the file is closed it is copied once more: neither is done in
    // pieces.
    service::tell_busy();
    if (done) done = store.execute("COMMIT");
    if (!done) (void)store.execute("ROLLBACK");
    return done;
}

}  // namespace tcptrail::spool
