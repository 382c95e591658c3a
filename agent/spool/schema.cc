// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/schema.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>

namespace tcptrail::spool {
namespace {

constexpr uint64_t application_id = 0x74637074;  // "tcpt"

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
    checksum INTEGER NOT NULL,
    mark BLOB NOT NULL,
    mark_checksum INTEGER NOT NULL
))sql";

uint64_t checksum_of_mark(std::span<const char> mark) {
    return checksum(0, mark);
}

std::unexpected<SqlError> no_spool(std::string why) {
    return std::unexpected(SqlError::malformed(std::move(why)));
}

// True: a spool. False: an empty database, to be made one.
SqlResult<bool> inspect(Database& database) {
    auto tables = database.value("SELECT count(*) FROM sqlite_schema");
    if (!tables) return std::unexpected(tables.error());
    auto application = database.value("PRAGMA application_id");
    if (!application) return std::unexpected(application.error());
    auto version = database.value("PRAGMA user_version");
    if (!version) return std::unexpected(version.error());

    if (*tables == 0 && *application == 0 && *version == 0) return false;
    if (*application != application_id) return no_spool("a database, but no spool");
    if (*version != format_version)
        return no_spool(fmt::format("a spool of format {}; this program knows {}", *version, format_version));
    // SQLite keeps the statements as they were: what they became by damage may read, and mean something else.
    const std::string same =
        fmt::format("SELECT count(*) FROM sqlite_schema WHERE sql IN ('{}', '{}')", batch_table, total_table);
    auto known = database.value(same.c_str());
    if (!known) return std::unexpected(known.error());
    if (*known != 2 || *tables != 2) return no_spool("a spool with other tables");
    return true;
}

SqlResult<> create_tables(Database& database) {
    const std::string all = fmt::format(
        "BEGIN IMMEDIATE; {}; {}; INSERT INTO total VALUES (1, 0, 0, 0, {}, x'', {}); "
        "PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT",
        batch_table, total_table, static_cast<int64_t>(checksum(Contents())),
        static_cast<int64_t>(checksum_of_mark({})), application_id, format_version);
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

bool exists(const std::string& path) {
    struct stat status{};
    return lstat(path.c_str(), &status) == 0;
}

}  // namespace

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
    if (*known) return database;
    if (auto done = create_tables(*database); !done) return std::unexpected(done.error());
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

uint64_t checksum(const Contents& contents) {
    return checksum(RowHead{contents.last_id, 0, contents.events, contents.bytes});
}

SqlResult<Contents> read_totals(Database& store) {
    auto select = store.prepare("SELECT events, bytes, last_id, checksum FROM total");
    if (!select) return std::unexpected(select.error());
    Query row(*select);
    auto found = row.step();
    if (!found) return std::unexpected(found.error());
    const Contents contents{row.integer(0), row.integer(1), row.integer(2)};
    if (!*found || row.integer(3) != checksum(contents)) return no_spool("a spool whose totals are damaged");
    return contents;
}

SqlResult<> write_totals(const Statement& update, const Contents& contents) {
    return Query(update, contents.events, contents.bytes, contents.last_id, checksum(contents)).run();
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
