// SPDX-License-Identifier: Apache-2.0
#include "agent/spool/replacement.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "agent/spool/first_page.h"
#include "agent/spool/log_repair.h"
#include "agent/spool/salvage.h"
#include "agent/spool/schema.h"

namespace tcptrail::spool {
namespace {

constexpr const char* copy_suffix = ".new";
constexpr const char* mended_suffix = ".mended";
// For heads, pages that are not full, and the log.
constexpr uint64_t least_room_bytes = 1u << 20;
constexpr uint64_t overhead_fraction = 16;

void remove_database(const std::string& path) {
    for (const char* suffix : {"", "-wal", "-shm"})
        (void)unlink((path + suffix).c_str());
}

// A link to the file, beside a log of its own.
class Mended {
public:
    explicit Mended(const std::string& path) : path_(path + mended_suffix) { remove_database(path_); }
    ~Mended() { remove_database(path_); }
    Mended(const Mended&) = delete;
    Mended& operator=(const Mended&) = delete;
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

// Its tables can be read, and are those of another program, or of a later format: no damage. What fits of a
// later one is read as it is.
bool is_another(Database& database) {
    const auto tables = database.value("SELECT count(*) FROM sqlite_schema");
    const auto ours =
        database.value("SELECT count(*) FROM sqlite_schema WHERE name IN ('batch', 'total', 'set_aside')");
    if (!tables || !ours) return false;
    const auto version = database.value("PRAGMA user_version");
    const auto application = database.value("PRAGMA application_id");
    const bool is_later =
        version && application && *version > format_version && *application == application_id;
    return *tables > 0 && (*ours == 0 || is_later);
}

// Only reads. What SQLite finds of a file is no less than what was committed, unless it is damaged.
bool has_less_than(const std::string& path, const Accounts& known) {
    auto file = Database::open(path);
    if (!file) return false;
    file->keep_log();
    const auto totals = read_totals(*file);
    return !totals || totals->in < known.totals.in;
}

// The first page says what it should, and no less than all of the file is the database's.
bool has_sound_page(Database& database, const std::string& path) {
    struct stat status{};
    const auto pages = database.value("PRAGMA page_count");
    return has_spool_tables(database) && pages && stat(path.c_str(), &status) == 0 &&
           *pages >= static_cast<uint64_t>(status.st_size) / page_bytes;
}

// A copy that was closed: with the last connection all of the log is copied into the file, and the log
// removed.
SqlResult<std::string> finished(const std::string& copy, SqlResult<> done) {
    if (done && exists(copy + "-wal"))
        done = std::unexpected(SqlError{SQLITE_IOERR, "the log of " + copy + " cannot be copied into it"});
    if (done) return copy;
    remove_database(copy);
    return std::unexpected(done.error());
}

// A first page that does not read, or says that this is no spool, may be all that is wrong with it.
SqlResult<> copy_with_page_of(const std::string& path, const std::string& copy,
                              const std::optional<Accounts>& known) {
    const auto lent = FirstPage::lend(path, copy);
    Database old;
    if (lent)
        if (auto opened = Database::open(path); opened && has_spool_tables(*opened)) old = std::move(*opened);
    auto store = open_store(copy);
    if (!store) return std::unexpected(store.error());
    return salvage(old, *store, known);
}

}  // namespace

bool finish_replacement(const std::string& path) {
    FirstPage::put_back(path);
    remove_database(path + mended_suffix);
    const std::string copy = path + copy_suffix;
    if (!exists(copy)) return false;
    if (exists(path)) {
        remove_database(copy);
        return false;
    }
    // It was being closed: what its log has is copied into it now, or there is no use for it.
    if (exists(copy + "-wal"))
        if (auto opened = open_store(copy); !opened) return false;
    if (exists(copy + "-wal")) return false;
    // With the log of the old file the copy would become what that was.
    return set_aside(path) && std::rename(copy.c_str(), path.c_str()) == 0;
}

SqlResult<std::string> copy_whole(Database& old, bool named, const std::string& path,
                                  const std::optional<Accounts>& known) {
    const std::string copy = path + copy_suffix;
    remove_database(copy);
    SqlResult<> done;
    if (auto store = open_store(copy); !store) {
        done = std::unexpected(store.error());
    } else if (!named || (old && (has_sound_page(old, path) || is_another(old)))) {
        done = salvage(old, *store, known);
    } else {
        old = {};
        *store = {};
        done = copy_with_page_of(path, copy, known);
    }
    return finished(copy, done);
}

SqlResult<std::string> copy_behind_damage(const std::string& path, const Accounts& known,
                                          uint64_t& repaired) {
    repaired = 0;
    if (!has_less_than(path, known)) return std::string();
    const Mended mended(path);
    const auto wrong = repair_log(path, mended.path());
    repaired = wrong.value_or(0);
    if (wrong == 0) return std::string();
    if (const auto room = has_room(path, known.totals.bytes); !room)
        return std::unexpected(SqlError{SQLITE_FULL, room.error().message});
    const bool is_linked = link(path.c_str(), mended.path().c_str()) == 0;
    // Where files have one name each, what lies behind the damage is missing.
    if (!is_linked && (errno == EPERM || errno == EOPNOTSUPP)) return std::string();
    if (!wrong || !is_linked)
        return std::unexpected(
            SqlError{SQLITE_CANTOPEN, "what is whole of its log cannot be kept beside it"});
    auto old = Database::open(mended.path());
    if (!old) return std::unexpected(old.error());
    // What belongs to the other name's log must not come into the file.
    old->keep_log();
    const std::string copy = path + copy_suffix;
    remove_database(copy);
    auto store = open_store(copy);
    const auto done =
        store ? salvage(*old, *store, known, true) : SqlResult<>(std::unexpected(store.error()));
    if (store) *store = {};
    return finished(copy, done);
}

Result<> has_room(const std::string& path, uint64_t bytes) {
    const uint64_t needed = bytes + bytes / overhead_fraction + least_room_bytes;
    struct statvfs disk{};
    const std::string directory = std::filesystem::path(path).parent_path();
    if (statvfs(directory.c_str(), &disk) != 0 || disk.f_bavail * disk.f_frsize >= needed) return {};
    return fail(
        fmt::format("its file is damaged, and a copy of what is whole needs {} MiB of the disk, which has {} "
                    "MiB: free as much, or set another spool.directory",
                    (needed >> 20) + 1, (disk.f_bavail * disk.f_frsize) >> 20),
        ExitCode::unavailable);
}

}  // namespace tcptrail::spool
