// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <string_view>
#include <system_error>
#include <utility>

namespace tcptrail::spool {
namespace {

std::unexpected<SqlError> sql_error(sqlite3* database) {
    SqlError error{sqlite3_extended_errcode(database), sqlite3_errmsg(database)};
    // "disk I/O error" alone does not tell what the kernel said.
    const int primary = error.code & 0xff;
    const int number =
        primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN ? sqlite3_system_errno(database) : 0;
    if (number != 0) error.message += " (" + std::generic_category().message(number) + ")";
    return std::unexpected(std::move(error));
}

// SQLite calls it after each commit with the number of pages that the log holds.
int note_log_pages(void* pages, sqlite3*, const char*, int count) {
    static_cast<Counter*>(pages)->set(static_cast<uint64_t>(count));
    return SQLITE_OK;
}

}  // namespace

SqlError SqlError::malformed(std::string message) {
    return {SQLITE_CORRUPT, std::move(message)};
}

bool SqlError::corrupt() const {
    switch (code & 0xff) {
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
        case SQLITE_ERROR:       // our statements do not fit its tables
        case SQLITE_CONSTRAINT:  // an id that should be new is there
            return true;
        default:
            // What a symbolic link leads to is not in the spool's folder.
            return code == SQLITE_CANTOPEN_SYMLINK;
    }
}

bool SqlError::sync_failed() const {
    return code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC;
}

bool SqlError::busy() const {
    return (code & 0xff) == SQLITE_BUSY;
}

std::unexpected<Error> SqlError::within(const std::string& context) const {
    return fail(context + ": " + message);
}

std::unexpected<Error> unavailable(std::unexpected<Error> problem) {
    problem.error().code = ExitCode::unavailable;
    return problem;
}

std::unexpected<Error> unavailable(Error problem) {
    return unavailable(std::unexpected(std::move(problem)));
}

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
    sqlite3_finalize(statement);
}

void Query::bind(int index, uint64_t value) {
    sqlite3_bind_int64(statement_, index, static_cast<sqlite3_int64>(value));
}

void Query::bind(int index, std::span<const char> bytes) {
    sqlite3_bind_blob64(statement_, index, bytes.data(), bytes.size(), SQLITE_STATIC);
}

Query::~Query() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
}

SqlResult<bool> Query::step() {
    switch (sqlite3_step(statement_)) {
        case SQLITE_ROW:
            return true;
        case SQLITE_DONE:
            return false;
        default:
            return sql_error(sqlite3_db_handle(statement_));
    }
}

SqlResult<> Query::run() {
    for (;;) {
        auto row = step();
        if (!row) return std::unexpected(row.error());
        if (!*row) return {};
    }
}

uint64_t Query::integer(int column) const {
    return static_cast<uint64_t>(sqlite3_column_int64(statement_, column));
}

std::span<const char> Query::blob(int column) const {
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
    return {bytes, bytes ? static_cast<size_t>(sqlite3_column_bytes(statement_, column)) : 0};
}

void Database::Close::operator()(sqlite3* database) const {
    sqlite3_close_v2(database);
}

SqlResult<Database> Database::open(const std::string& path) {
    return open(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
}

SqlResult<Database> Database::open_read_only(const std::string& path, bool unchanging) {
    if (!unchanging) return open(path, SQLITE_OPEN_READONLY);
    std::string name = "file:";
    for (const char c : path) {
        // What means something in a URI is written in hexadecimal.
        if (std::string_view("%?# ").find(c) == std::string_view::npos)
            name += c;
        else
            name += fmt::format("%{:02x}", static_cast<unsigned>(c));
    }
    return open(name + "?immutable=1", SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
}

SqlResult<Database> Database::open(const std::string& name, int flags) {
    sqlite3* raw = nullptr;
    flags |= SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE;
    const int code = sqlite3_open_v2(name.c_str(), &raw, flags, nullptr);
    Database database;
    database.database_.reset(raw);
    if (code != SQLITE_OK) {
        if (raw) return sql_error(raw);
        return std::unexpected(SqlError{code, sqlite3_errstr(code)});
    }
    return database;
}

SqlResult<> Database::execute(const char* sql) {
    if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK)
        return sql_error(database_.get());
    return {};
}

SqlResult<Statement> Database::prepare(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v3(database_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) !=
        SQLITE_OK)
        return sql_error(database_.get());
    return Statement(statement);
}

SqlResult<uint64_t> Database::value(const char* sql) {
    auto statement = prepare(sql);
    if (!statement) return std::unexpected(statement.error());
    Query query(*statement);
    auto row = query.step();
    if (!row) return std::unexpected(row.error());
    return *row ? query.integer(0) : 0;
}

int Database::changes() const {
    return sqlite3_changes(database_.get());
}

bool Database::read_only() const {
    return sqlite3_db_readonly(database_.get(), nullptr) == 1;
}

void Database::count_log_pages(Counter& pages) {
    sqlite3_wal_hook(database_.get(), note_log_pages, &pages);
}

void Database::keep_log() {
    sqlite3_db_config(database_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
}

SqlResult<bool> Database::checkpoint() {
    int in_log = 0;
    int copied = 0;
    const int code =
        sqlite3_wal_checkpoint_v2(database_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &in_log, &copied);
    if (code != SQLITE_OK) return sql_error(database_.get());
    return in_log == copied;
}

}  // namespace tcptrail::spool
