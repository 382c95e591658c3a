// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "agent/spool/batch.h"
#include "agent/spool/database.h"

namespace tcptrail::spool {

inline constexpr uint64_t format_version = 2;           // of the file, in PRAGMA user_version
inline constexpr size_t page_bytes = 8192;              // of the file
inline constexpr uint64_t application_id = 0x74637074;  // "tcpt"

// Whether anything has that name, a symbolic link that leads nowhere included.
bool exists(const std::string& path);

// Opens the spool's file to write, and makes what is missing in it; an empty file is a new spool, and one of
// an earlier version becomes one of this. What is no spool, or one of a later version, is an error with
// corrupt() == true.
SqlResult<Database> open_store(const std::string& path);

// Opens a file that open_store has opened before, to read or to checkpoint.
SqlResult<Database> open_view(const std::string& path);

// Whether it has the tables of that format, each as it was made, and no others.
SqlResult<bool> has_tables_of(Database& database, uint64_t format);

// Renames a file that is no good, with its log, to <path>.corrupt-<unix seconds>. Returns the new name.
Result<std::string> set_aside(const std::string& path);

// A row of the table batch, in the order of its columns. A row that is read only as far as its head has no
// payload.
struct Row {
    RowHead head;
    bool head_whole = false;        // it fits its checksum
    bool whole = false;             // so does the payload
    std::span<const char> payload;  // valid as long as the query's row
};
Row read_head(const Query& query);
Row read_row(const Query& query);
inline constexpr const char* head_columns = "id, created_unix_nanos, events, bytes, head_checksum";
SqlResult<> insert_row(const Statement& insert, const RowHead& head, std::span<const char> payload);
inline constexpr const char* insert_into_batch = "INSERT INTO batch VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

// What a spool holds, and the accounts of what it no longer does, in events since it was made.
// in = released + too_large + evicted + expired + damaged + memory_full + events.
struct Totals {
    uint64_t events = 0;
    uint64_t bytes = 0;    // of payload
    uint64_t last_id = 0;  // that was given to a batch of the backlog
    uint64_t in = 0;
    uint64_t released = 0;
    uint64_t too_large = 0;
    uint64_t evicted = 0;
    uint64_t expired = 0;
    uint64_t damaged = 0;
    uint64_t memory_full = 0;

    bool operator==(const Totals&) const = default;
    // Moves up to `count` of the events that are held to one of the accounts.
    void leave(uint64_t Totals::* account, uint64_t count);
    // These, when so much is found: what is missing is damaged, what is too much was not accounted for yet.
    Totals with(uint64_t found_events, uint64_t found_bytes, uint64_t found_last_id) const;
};

// Guards the totals as the checksum of a batch guards that batch.
uint64_t checksum(const Totals& totals);

// Reads the totals of a spool of this format or an earlier one. Those that do not fit their checksum are an
// error with corrupt() == true.
SqlResult<Totals> read_totals(Database& store);
SqlResult<> write_totals(const Statement& update, const Totals& totals);
inline constexpr const char* update_totals =
    "UPDATE total SET events = ?1, bytes = ?2, last_id = ?3, entered = ?4, released = ?5, too_large = ?6, "
    "evicted = ?7, expired = ?8, damaged = ?9, memory_full = ?10, checksum = ?11";

// The caller's mark (see Spool::append). One that is damaged reads as empty.
inline constexpr size_t max_mark_bytes = 512;
SqlResult<std::string> read_mark(Database& store);
SqlResult<> write_mark(const Statement& update, std::string_view mark);
inline constexpr const char* update_mark = "UPDATE total SET mark = ?1, mark_checksum = ?2";

// A message that the brokers refuse, kept for the administrator: a payload of its own. The newest are kept.
inline constexpr uint64_t max_set_aside = 64;
inline constexpr size_t max_set_aside_bytes = 1u << 20;  // of a payload; a larger one is only counted
SqlResult<> insert_set_aside(const Statement& insert, uint64_t created_unix_nanos,
                             std::span<const char> payload);
inline constexpr const char* insert_into_set_aside =
    "INSERT INTO set_aside (created_unix_nanos, payload_checksum, payload) VALUES (?1, ?2, ?3)";
inline constexpr const char* trim_set_aside =
    "DELETE FROM set_aside WHERE id <= (SELECT max(id) FROM set_aside) - ?1";
struct SetAside {
    uint64_t created_unix_nanos = 0;
    bool whole = false;
    std::span<const char> payload;  // valid as long as the query's row
};
SetAside read_set_aside(const Query& query);
inline constexpr const char* select_set_aside =
    "SELECT created_unix_nanos, payload_checksum, payload FROM set_aside ORDER BY id";

}  // namespace tcptrail::spool
