// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/batch.h"
#include "agent/spool/schema.h"

namespace tcptrail::spool {
namespace {

// A page of the table that cannot be read hides a run of ids; no longer run than this is stepped over.
constexpr int max_unreadable_ids = 1 << 16;

SqlResult<Contents> copy_batches(const Statement& select, const Statement& insert) {
    Contents copied;
    uint64_t id = 1;
    for (int unreadable = 0; unreadable < max_unreadable_ids;) {
        Query row(select, id);
        auto found = row.step();
        if (!found) {
            unreadable++;
            id++;
            continue;
        }
        if (!*found) break;
        unreadable = 0;
        const uint64_t row_id = row.integer(0);
        if (row_id < id) break;  // out of order: what follows would repeat
        id = row_id + 1;
        const uint64_t created = row.integer(1);
        const uint64_t events = row.integer(2);
        const auto payload = row.blob(4);
        if (row.integer(3) != checksum(row_id, created, static_cast<uint32_t>(events), payload)) continue;

        Query copy(insert, row_id, created, events, uint64_t{payload.size()}, row.integer(3), payload);
        if (auto done = copy.run(); !done) return std::unexpected(done.error());
        copied.events += events;
        copied.bytes += payload.size();
        copied.last_id = row_id;
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
    auto select = old->prepare(
        "SELECT id, created_unix_nanos, events, checksum, payload FROM batch WHERE id >= ?1 ORDER BY id "
        "LIMIT 1");
    if (!select) return salvaged;

    auto insert = store.prepare("INSERT INTO batch VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
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
