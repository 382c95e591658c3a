// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/schema.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <type_traits>

namespace tcptrail::spool {
namespace {

constexpr const char* batch_table = R"sql(CREATE TABLE batch (
    id INTEGER PRIMARY KEY,
    created_unix_nanos INTEGER NOT NULL,
    events INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    head_checksum INTEGER NOT NULL,
    payload_checksum INTEGER NOT NULL,
    payload BLOB NOT NULL
))sql";
constexpr const char* total_table = R"sql(CREATE TABLE total (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    events INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    entered INTEGER NOT NULL,
    released INTEGER NOT NULL,
    too_large INTEGER NOT NULL,
    evicted INTEGER NOT NULL,
    expired INTEGER NOT NULL,
    damaged INTEGER NOT NULL,
    memory_full INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    mark BLOB NOT NULL,
    mark_checksum INTEGER NOT NULL
))sql";

constexpr const char* set_aside_table = R"sql(CREATE TABLE set_aside (
    id INTEGER PRIMARY KEY,
    created_unix_nanos INTEGER NOT NULL,
    payload_checksum INTEGER NOT NULL,
    payload BLOB NOT NULL
))sql";

// Of format 1, which had no accounts and no mark.
constexpr const char* total_table_1 = R"sql(CREATE TABLE total (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    events INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    checksum INTEGER NOT NULL
))sql";

uint64_t checksum_of_mark(std::span<const char> mark) {
    return checksum(0, mark);
}

std::unexpected<SqlError> no_spool(std::string why) {
    return std::unexpected(SqlError::malformed(std::move(why)));
}

// The format of a spool. 0: an empty database, to be made one.
SqlResult<uint64_t> inspect(Database& database) {
    auto tables = database.value("SELECT count(*) FROM sqlite_schema");
    if (!tables) return std::unexpected(tables.error());
    auto application = database.value("PRAGMA application_id");
    if (!application) return std::unexpected(application.error());
    auto version = database.value("PRAGMA user_version");
    if (!version) return std::unexpected(version.error());

    if (*tables == 0 && *application == 0 && *version == 0) return 0;
    if (*application != application_id) return no_spool("a database, but no spool");
    if (*version < 1 || *version > format_version)
        return no_spool(fmt::format("a spool of format {}; this program knows {}", *version, format_version));
    auto known = has_tables_of(database, *version);
    if (!known) return std::unexpected(known.error());
    if (!*known) return no_spool("a spool with other tables");
    return *version;
}

std::string insert_totals(const Totals& totals) {
    const Totals& t = totals;
    return fmt::format("INSERT INTO total VALUES (1, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, x'', {})",
                       t.events, t.bytes, t.last_id, t.in, t.released, t.too_large, t.evicted, t.expired,
                       t.damaged, t.memory_full, static_cast<int64_t>(checksum(t)),
                       static_cast<int64_t>(checksum_of_mark({})));
}

// Of the table total all is small: this takes no longer for a large spool.
SqlResult<> upgrade(Database& database) {
    auto totals = read_totals(database);
    if (!totals) return std::unexpected(totals.error());
    const std::string all =
        fmt::format("BEGIN IMMEDIATE; DROP TABLE total; {}; {}; {}; PRAGMA user_version = {}; COMMIT",
                    set_aside_table, total_table, insert_totals(*totals), format_version);
    auto done = database.execute(all.c_str());
    if (!done) (void)database.execute("ROLLBACK");
    return done;
}

SqlResult<> create_tables(Database& database) {
    const std::string all = fmt::format(
        "BEGIN IMMEDIATE; {}; {}; {}; {}; PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT",
        batch_table, total_table, set_aside_table, insert_totals(Totals()), application_id, format_version);
    return database.execute(all.c_str());
}

// Before the first page is written: the page size stays what it was made with.
// secure_delete would write zeros over every batch that was delivered; Debian's SQLite has it on.
constexpr const char* writer_settings = R"sql(
PRAGMA page_size = 8192;
PRAGMA secure_delete = OFF;
PRAGMA synchronous = NORMAL;
PRAGMA journal_size_limit = 67108864;
PRAGMA cache_size = -2000;
PRAGMA temp_store = MEMORY;
)sql";

}  // namespace

SqlResult<bool> has_tables_of(Database& database, uint64_t format) {
    // SQLite keeps the statements as they were: what they became by damage may read, and mean something else.
    const std::string same =
        fmt::format("SELECT sum(sql IN ('{}', '{}', '{}')) * 100 + count(*) FROM sqlite_schema", batch_table,
                    format == 1 ? total_table_1 : total_table, set_aside_table);
    auto known = database.value(same.c_str());
    if (!known) return std::unexpected(known.error());
    const uint64_t wanted = format == 1 ? 2 : 3;
    return *known == wanted * 100 + wanted;
}

bool exists(const std::string& path) {
    struct stat status{};
    return lstat(path.c_str(), &status) == 0;
}

SqlResult<Database> open_store(const std::string& path) {
    auto database = Database::open(path);
    if (!database) return database;
    if (auto done = database->execute(writer_settings); !done) return std::unexpected(done.error());
    auto known = inspect(*database);
    if (!known) return std::unexpected(known.error());
    if (database->read_only() && access(path.c_str(), W_OK) == 0)
        return no_spool("its header forbids to write");
    if (auto done = database->execute("PRAGMA journal_mode = WAL"); !done)
        return std::unexpected(done.error());
    // File systems without shared memory refuse it, and say so only here.
    auto wal = database->value("SELECT journal_mode = 'wal' FROM pragma_journal_mode");
    if (!wal) return std::unexpected(wal.error());
    if (*wal == 0)
        return std::unexpected(SqlError{SQLITE_CANTOPEN, "this file system cannot hold a write-ahead log"});
    // Checkpoints are not the writer's: see README.md.
    if (auto done = database->execute("PRAGMA wal_autocheckpoint = 0"); !done)
        return std::unexpected(done.error());
    if (*known == format_version) return database;
    if (auto done = *known == 0 ? create_tables(*database) : upgrade(*database); !done)
        return std::unexpected(done.error());
    return database;
}

SqlResult<Database> open_view(const std::string& path) {
    auto database = Database::open(path);
    if (!database) return database;
    auto done = database->execute(
        "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -256");
    if (!done) return std::unexpected(done.error());
    return database;
}

Row read_head(const Query& query) {
    Row row;
    row.head = {query.integer(0), query.integer(1), query.integer(2), query.integer(3)};
    row.head_whole = query.integer(4) == checksum(row.head);
    return row;
}

Row read_row(const Query& query) {
    Row row = read_head(query);
    row.payload = query.blob(6);
    row.whole = row.head_whole && row.payload.size() == row.head.bytes &&
                query.integer(5) == checksum(query.integer(4), row.payload);
    return row;
}

SqlResult<> insert_row(const Statement& insert, const RowHead& head, std::span<const char> payload) {
    const uint64_t sum = checksum(head);
    return Query(insert, head.id, head.created_unix_nanos, head.events, head.bytes, sum,
                 checksum(sum, payload), payload)
        .run();
}

void Totals::leave(uint64_t Totals::* account, uint64_t count) {
    const uint64_t gone = std::min(count, events);
    this->*account += gone;
    events -= gone;
}

Totals Totals::with(uint64_t found_events, uint64_t found_bytes, uint64_t found_last_id) const {
    Totals totals = *this;
    if (found_events > events)
        totals.in += found_events - events;
    else
        totals.damaged += events - found_events;
    totals.events = found_events;
    totals.bytes = found_bytes;
    totals.last_id = std::max(last_id, found_last_id);
    return totals;
}

uint64_t checksum(const Totals& totals) {
    static_assert(std::has_unique_object_representations_v<Totals>);
    return checksum(0, {reinterpret_cast<const char*>(&totals), sizeof(totals)});
}

SqlResult<Totals> read_totals(Database& store) {
    auto version = store.value("PRAGMA user_version");
    if (!version) return std::unexpected(version.error());
    auto select =
        store.prepare(*version == 1 ? "SELECT events, bytes, last_id, checksum FROM total"
                                    : "SELECT events, bytes, last_id, entered, released, too_large, evicted, "
                                      "expired, damaged, memory_full, checksum FROM total");
    if (!select) return std::unexpected(select.error());
    Query row(*select);
    auto found = row.step();
    if (!found) return std::unexpected(found.error());
    Totals totals;
    totals.events = row.integer(0);
    totals.bytes = row.integer(1);
    totals.last_id = row.integer(2);
    bool whole = *found;
    if (*version == 1) {
        totals.in = totals.events;
        whole = whole && row.integer(3) == checksum(RowHead{totals.last_id, 0, totals.events, totals.bytes});
    } else {
        int column = 3;
        for (uint64_t* account : {&totals.in, &totals.released, &totals.too_large, &totals.evicted,
                                  &totals.expired, &totals.damaged, &totals.memory_full})
            *account = row.integer(column++);
        whole = whole && row.integer(column) == checksum(totals);
    }
    if (!whole) return no_spool("a spool whose totals are damaged");
    return totals;
}

SqlResult<> write_totals(const Statement& update, const Totals& totals) {
    const Totals& t = totals;
    return Query(update, t.events, t.bytes, t.last_id, t.in, t.released, t.too_large, t.evicted, t.expired,
                 t.damaged, t.memory_full, checksum(t))
        .run();
}

SqlResult<> insert_set_aside(const Statement& insert, uint64_t created_unix_nanos,
                             std::span<const char> payload) {
    return Query(insert, created_unix_nanos, checksum(created_unix_nanos, payload), payload).run();
}

SetAside read_set_aside(const Query& query) {
    SetAside message{query.integer(0), false, query.blob(2)};
    message.whole = query.integer(1) == checksum(message.created_unix_nanos, message.payload);
    return message;
}

SqlResult<std::string> read_mark(Database& store) {
    auto select = store.prepare("SELECT mark, mark_checksum FROM total");
    if (!select) return std::unexpected(select.error());
    Query row(*select);
    auto found = row.step();
    if (!found) return std::unexpected(found.error());
    const auto mark = row.blob(0);
    if (!*found || mark.size() > max_mark_bytes || row.integer(1) != checksum_of_mark(mark))
        return std::string();
    return std::string(mark.begin(), mark.end());
}

SqlResult<> write_mark(const Statement& update, std::string_view mark) {
    return Query(update, std::span(mark), checksum_of_mark(mark)).run();
}

Result<std::string> set_aside(const std::string& path) {
    const std::string stem = fmt::format("{}.corrupt-{}", path, std::time(nullptr));
    std::string name = stem;
    for (int copy = 2; exists(name); copy++)
        name = fmt::format("{}-{}", stem, copy);
    // The database first: a log without its database is removed by SQLite, a database without its log is old.
    for (const char* suffix : {"", "-wal", "-shm"})
        if (std::rename((path + suffix).c_str(), (name + suffix).c_str()) != 0 && errno != ENOENT)
            return fail_errno("cannot rename " + path + suffix, errno);
    return name;
}

}  // namespace tcptrail::spool
