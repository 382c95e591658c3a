// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "agent/spool/schema.h"

namespace tcptrail::spool {
namespace {

// A page of the table that cannot be read hides a run of ids; no longer run than this is stepped over.
constexpr uint64_t max_unreadable_ids = 1 << 16;

SqlResult<Contents> copy_batches(const Statement& select, const Statement& insert) {
    Contents copied;
    uint64_t id = 1;
    for (uint64_t unreadable = 0; unreadable < max_unreadable_ids;) {
        Query query(select, id);
        auto found = query.step();
        if (!found) {
            unreadable++;
            id++;
            continue;
        }
        if (!*found) break;
        unreadable = 0;
        const Row row = read_row(query);
        if (!row.whole) {
            // Its id may be wrong: the next one is looked for where it should be.
            const bool near = row.head.id >= id && row.head.id - id < max_unreadable_ids;
            id = near ? id + 1 : std::max(id, row.head.id) + 1;
            continue;
        }
        if (row.head.id < id) break;  // out of order: what follows would repeat
        id = row.head.id + 1;
        if (auto done = insert_row(insert, row.head, row.payload); !done)
            return std::unexpected(done.error());
        copied.events += row.head.events;
        copied.bytes += row.head.bytes;
        copied.last_id = row.head.id;
    }
    return copied;
}

}  // namespace

SqlResult<Salvaged> salvage(const std::string& from, Database& store) {
    Salvaged salvaged;
    auto old = Database::open(from);
    if (!old) return salvaged;
    // It lets SQLite read a file that is shorter than its header says.
    (void)old->execute("PRAGMA writable_schema = ON");
    auto format = old->value("PRAGMA user_version");
    if (!format || *format != format_version) return salvaged;
    if (auto totals = read_totals(*old)) salvaged.expected_events = totals->events;
    auto select = old->prepare("SELECT * FROM batch WHERE id >= ?1 ORDER BY id LIMIT 1");
    if (!select) return salvaged;

    auto insert = store.prepare(insert_into_batch);
    if (!insert) return std::unexpected(insert.error());
    auto totals = store.prepare(update_totals);
    if (!totals) return std::unexpected(totals.error());
    if (auto done = store.execute("BEGIN IMMEDIATE"); !done) return std::unexpected(done.error());
    auto copied = copy_batches(*select, *insert);
    SqlResult<> done = copied ? write_totals(*totals, *copied) : SqlResult<>(std::unexpected(copied.error()));
    if (done) done = store.execute("COMMIT");
    if (!done) {
        (void)store.execute("ROLLBACK");
        return std::unexpected(done.error());
    }
    salvaged.contents = *copied;
    return salvaged;
}

}  // namespace tcptrail::spool
