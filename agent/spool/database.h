// SPDX-License-Identifier: Apache-2.0
//
// Owner types for SQLite. A connection and its statements belong to one thread at a time.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>

#include "agent/base/counter.h"
#include "agent/base/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace tcptrail::spool {

struct SqlError {
    int code = 0;  // SQLite's extended result code
    std::string message;

    // For what SQLite itself does not find.
    static SqlError malformed(std::string message);

    // The file is broken or is no spool: trying again cannot help.
    bool corrupt() const;
    // What was written may not be on the disk, and will not be by trying again.
    bool sync_failed() const;
    // Another connection is writing.
    bool busy() const;
    std::unexpected<Error> within(const std::string& context) const;
};

// The same, of something that may pass: the spool goes on in memory meanwhile.
std::unexpected<Error> unavailable(std::unexpected<Error> problem);
std::unexpected<Error> unavailable(Error problem);

template <class T = void>
using SqlResult = std::expected<T, SqlError>;

// A prepared statement.
class Statement {
public:
    Statement() = default;
    explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
    sqlite3_stmt* get() const { return statement_.get(); }

private:
    struct Finalize {
        void operator()(sqlite3_stmt* statement) const;
    };
    std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

// One execution of a statement: binds, steps, and resets it at the end, which ends its read transaction.
class Query {
public:
    template <class... Values>
    explicit Query(const Statement& statement, Values... values) : statement_(statement.get()) {
        int index = 0;
        (bind(++index, values), ...);
    }
    ~Query();
    Query(const Query&) = delete;
    Query& operator=(const Query&) = delete;

    // True: a row is there to be read. False: done.
    SqlResult<bool> step();
    // Steps to the end.
    SqlResult<> run();

    uint64_t integer(int column) const;
    // Valid until the next step.
    std::span<const char> blob(int column) const;

private:
    void bind(int index, uint64_t value);
    void bind(int index, std::span<const char> bytes);  // the bytes must outlive the query

    sqlite3_stmt* statement_;
};

// A connection.
class Database {
public:
    Database() = default;

    // Opens or makes the file; follows no symbolic link.
    static SqlResult<Database> open(const std::string& path);
    // Opens a file that is there, to read. `unchanging`: nobody writes to it, and it has no log; so nothing
    // is made beside it, and its disk may be read-only.
    static SqlResult<Database> open_read_only(const std::string& path, bool unchanging);

    explicit operator bool() const { return database_ != nullptr; }
    SqlResult<> execute(const char* sql);
    SqlResult<Statement> prepare(const char* sql);
    // The first column of the first row of `sql`; 0 without a row.
    SqlResult<uint64_t> value(const char* sql);
    // How many rows the last INSERT, UPDATE or DELETE has changed.
    int changes() const;
    // The file cannot be written: its rights, its file system, or its header says so. Known once it was read.
    bool read_only() const;
    // Keeps in `pages` how many pages the log holds after this connection's last commit.
    void count_log_pages(Counter& pages);
    // The log stays as it is when the last connection is closed, rather than being copied and removed.
    void keep_log();
    // Copies what the log holds into the database, as far as no reader and no writer is in the way, and
    // syncs both. Returns whether that was all of it.
    SqlResult<bool> checkpoint();

private:
    static SqlResult<Database> open(const std::string& name, int flags);

    struct Close {
        void operator()(sqlite3* database) const;
    };
    std::unique_ptr<sqlite3, Close> database_;
};

}  // namespace tcptrail::spool
