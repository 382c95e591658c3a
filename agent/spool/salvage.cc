// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/salvage.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
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

// Of two batches with one id the newer one stays, or the one that stands for more: it was merged from others.
constexpr const char* insert_or_exchange =
    "INSERT INTO batch VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO UPDATE SET "
    "created_unix_nanos = excluded.created_unix_nanos, events = excluded.events, bytes = excluded.bytes, "
    "head_checksum = excluded.head_checksum, payload_checksum = excluded.payload_checksum, "
    "payload = excluded.payload WHERE (excluded.created_unix_nanos, excluded.events) > (created_unix_nanos, "
    "events)";

// Copies whole batches that are not delivered, each of them once.
class Copy {
public:
    Copy(const Statement& insert, const PerLane<Delivered>& delivered)
        : insert_(insert), delivered_(delivered) {}

    SqlResult<> add(const Row& row) {
        progress_.tell();
        if (row.head_whole && delivered_[lane_of(row.head.id)].has(row.head)) return {};
        if (row.head_whole && !row.whole && damaged_ids_.insert(row.head.id).second)
            damaged_ += row.head.events;
        return row.whole ? insert_row(insert_, row.head, row.payload) : SqlResult<>();
    }
    // Of the batches that are not whole, in events.
    uint64_t damaged() const { return damaged_; }
    Progress& progress() { return progress_; }

private:
    const Statement& insert_;
    const PerLane<Delivered> delivered_;
    Progress progress_;
    std::set<uint64_t> damaged_ids_;
    uint64_t damaged_ = 0;
};

constexpr const char* select_rows = "SELECT * FROM batch";

// From leaf to leaf: needs no id to find the next. False: it ended at a page that cannot be read.
SqlResult<bool> copy_rows(const Statement& all, Copy& copy) {
    Query query(all);
    for (;;) {
        const auto found = query.step();
        if (!found || !*found) return found.has_value();
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

// From page to page, each taken for the table's root: finds what the way to it is damaged for. What was
// deleted may be found, too, in pages that are not used again yet: what was evicted or merged, and comes once
// more.
SqlResult<> copy_by_page(Database& from, Copy& copy) {
    const auto pages = from.value("PRAGMA page_count");
    SqlResult<> done;
    for (uint64_t page = 2; done && pages && page <= *pages; page++) {
        copy.progress().tell();
        // Only this connection sees it: it is never committed.
        const std::string elsewhere = fmt::format(
            "PRAGMA writable_schema = ON; BEGIN IMMEDIATE; UPDATE sqlite_schema SET rootpage = {} WHERE name "
            "= 'batch'; "
            "PRAGMA writable_schema = RESET",
            page);
        if (from.execute(elsewhere.c_str()))
            if (const auto all = from.prepare(select_rows))
                if (const auto copied = copy_rows(*all, copy); !copied)
                    done = std::unexpected(copied.error());
        (void)from.execute("ROLLBACK");
        (void)from.execute("PRAGMA writable_schema = RESET");
    }
    (void)from.execute("PRAGMA writable_schema = ON");
    return done;
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

struct Sum {
    uint64_t events = 0, bytes = 0, last_id = 0;
};

SqlResult<Sum> sum_of(Database& store) {
    Sum sum;
    for (auto [sql, to] : {std::pair("SELECT sum(events) FROM batch", &sum.events),
                           {"SELECT sum(bytes) FROM batch", &sum.bytes}}) {
        auto value = store.value(sql);
        if (!value) return std::unexpected(value.error());
        *to = *value;
    }
    auto last =
        store.value(fmt::format("SELECT max(id) FROM batch WHERE id < {}", first_id(Lane::live)).c_str());
    if (!last) return std::unexpected(last.error());
    sum.last_id = *last;
    return sum;
}

// All that can be found, by one way after the other. `expected`: in events, where it is known.
SqlResult<> copy_batches(Database& from, Database& store, Copy& copy, std::optional<uint64_t> expected) {
    const auto all = from.prepare(select_rows);
    const auto from_id = from.prepare("SELECT * FROM batch WHERE id >= ?1 ORDER BY id LIMIT 1");
    const auto is_all_there = [&](bool came_to_the_end) -> SqlResult<bool> {
        const auto found = sum_of(store);
        if (!found) return std::unexpected(found.error());
        return came_to_the_end && (!expected || found->events + copy.damaged() >= *expected);
    };
    if (all && from_id) {
        auto complete = copy_rows(*all, copy);
        if (complete) complete = is_all_there(*complete);
        if (!complete) return std::unexpected(complete.error());
        if (*complete) return {};
        for (Lane lane : lanes)
            if (auto done = copy_by_id(*from_id, first_id(lane), copy); !done) return done;
        complete = is_all_there(expected.has_value());
        if (!complete) return std::unexpected(complete.error());
        if (*complete) return {};
    }
    return has_spool_tables(from) ? copy_by_page(from, copy) : SqlResult<>();
}

// What the file tells of itself, or what is known of it where that is more.
struct Told {
    Totals totals;
    std::optional<uint64_t> expected;  // events that it should have
    std::string mark;
};

Told told_of(Database& from, const std::optional<Accounts>& known, bool is_mended) {
    Told told;
    const auto totals = from ? read_totals(from) : SqlResult<Totals>(std::unexpected(SqlError()));
    if (totals) {
        told.totals = *totals;
        told.expected = totals->events;
    }
    const bool has_gone_back = totals && known && known->totals.in > totals->in;
    if (from && !has_gone_back) told.mark = read_mark(from).value_or(std::string());
    if (!known) return told;
    if (!totals || has_gone_back) told.totals = known->totals;
    // What was appended between the file's last commit and then is not in it.
    if (has_gone_back && !is_mended) told.totals.leave(&Totals::damaged, known->totals.in - totals->in);
    if (!totals || (has_gone_back && is_mended)) told.expected = known->totals.events;
    if (told.mark.empty()) told.mark = known->mark;
    return told;
}

}  // namespace

bool has_spool_tables(Database& database) {
    for (uint64_t format = 1; format <= format_version; format++)
        if (const auto has = has_tables_of(database, format); has && *has) return true;
    return false;
}

SqlResult<> salvage(Database& from, Database& store, const std::optional<Accounts>& known, bool is_mended) {
    // It lets SQLite read a file that is shorter than its header says.
    if (from) (void)from.execute("PRAGMA writable_schema = ON");
    const Told told = told_of(from, known, is_mended);
    auto insert = store.prepare(insert_or_exchange);
    if (!insert) return std::unexpected(insert.error());
    auto totals = store.prepare(update_totals);
    if (!totals) return std::unexpected(totals.error());
    auto mark = store.prepare(update_mark);
    if (!mark) return std::unexpected(mark.error());
    SqlResult<> done = store.execute("BEGIN IMMEDIATE");
    if (!done) return done;
    Copy copy(*insert, known ? known->delivered : PerLane<Delivered>());
    if (from) done = copy_batches(from, store, copy, told.expected);
    if (done) {
        const auto sum = sum_of(store);
        done = sum ? write_totals(*totals, told.totals.with(sum->events, sum->bytes, sum->last_id))
                   : SqlResult<>(std::unexpected(sum.error()));
    }
    if (done && from) done = copy_set_aside(from, store);
    if (done) done = write_mark(*mark, told.mark);
    // The commit syncs all of it, and as the file is closed it is copied once more: neither is done in
    // pieces.
    service::tell_busy();
    if (done) done = store.execute("COMMIT");
    if (!done) (void)store.execute("ROLLBACK");
    return done;
}

}  // namespace tcptrail::spool
