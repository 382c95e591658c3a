// SPDX-License-Identifier: Apache-2.0
//
// How Spool comes to its file: opens it, takes up what is known of it beside, and replaces one that is no
// good.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <utility>

#include "agent/base/clock.h"
#include "agent/spool/lock.h"
#include "agent/spool/replacement.h"
#include "agent/spool/schema.h"
#include "agent/spool/spool.h"
#include "agent/spool/tree_check.h"

namespace tcptrail::spool {
namespace {

// By lane; ids of 0: no rows. Not both, where some are expected.
SqlResult<PerLane<RowHead>> newest_rows(Database& database, bool expected) {
    const std::string sql =
        fmt::format("SELECT {} FROM batch WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1", head_columns);
    auto newest = database.prepare(sql.c_str());
    if (!newest) return std::unexpected(newest.error());
    PerLane<RowHead> heads;
    bool damaged = false;
    for (Lane lane : lanes) {
        Query query(*newest, first_id(lane), last_possible_id(lane));
        auto found = query.step();
        if (!found) return std::unexpected(found.error());
        const Row row = *found ? read_head(query) : Row();
        heads[lane] = row.head;
        damaged = damaged || (*found && !row.head_whole);
        expected = expected && !*found;
    }
    if (damaged || expected) return std::unexpected(SqlError::malformed("the newest batch is damaged"));
    return heads;
}

uint64_t file_size(const std::string& path) {
    struct stat status{};
    return stat(path.c_str(), &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
}

uint64_t inode_of(const std::string& path) {
    struct stat status{};
    return stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

}  // namespace

// The folder, and the lock in it. ExitCode::unavailable: this may pass.
Result<> Spool::find_place() {
    struct stat status{};
    // A lock in a folder that was removed is none.
    if (shared_->lock.valid() && fstat(shared_->lock.get(), &status) == 0 && status.st_nlink > 0) return {};
    auto lock = lock_directory(options_.directory);
    if (!lock) return std::unexpected(lock.error());
    shared_->lock = std::move(*lock);
    std::error_code problem;
    // A directory behind a symbolic link is as good as any; a file behind one is not.
    auto directory = std::filesystem::canonical(options_.directory, problem);
    if (problem) return unavailable(fail_errno("cannot find " + options_.directory, problem.value()));
    // Others read it without a lock once there is a file.
    if (shared_->generation == 0) shared_->path = directory / "spool.db";
    return {};
}

// Opens the file, and begins a new one with what can be saved if it is no good. The error has
// ExitCode::unavailable when it is one of the disk.
Result<> Spool::attach() {
    // The reader takes nothing meanwhile: what it could read is not told as lost.
    MutexLock turn(shared_->turn);
    MutexLock lock(shared_->mutex);
    if (auto found = find_place(); !found) return found;
    const bool first = shared_->generation == 0;
    if (!database_ && finish_replacement(shared_->path)) shared_->corrupt = shared_->vanished = false;
    const auto known = this->known(shared_->reading);
    const bool is_known = known && known->inode == inode_of(shared_->path);
    if (first && is_known) begin_time(*known);
    const bool broken = shared_->corrupt || shared_->vanished;
    if (first && is_known && !database_)
        if (auto done = look_behind_damage(*known); !done) return done;
    const bool has_log = file_size(shared_->path + "-wal") > 0;
    auto totals = broken ? SqlResult<Totals>() : open_file();
    if (first && !broken && totals && !has_log && !leads_to_all(shared_->path, database_))
        totals = std::unexpected(SqlError::malformed("pages that lead to batches are damaged"));
    const bool is_replaced = broken || (!totals && totals.error().corrupt());
    if (is_replaced)
        if (auto done = replace_file(totals, known); !done) return done;
    const bool has_gone_back = first && is_known && totals && known->totals.in > totals->in;
    if (has_gone_back) {
        *totals = catch_up(*totals, known->totals);
        if (!mark_waits_) mark_ = committed_mark_ = known->mark;
    }
    if (totals && !first)
        if (auto done = recount(*totals, shared_->reading); !done) totals = std::unexpected(done.error());
    if (!totals) return unavailable(totals.error().within("cannot open the spool " + shared_->path));
    if (first) found_ = totals->events;
    if (first) opened_created_ = shared_->time.now();
    if (first && known && (is_known || is_replaced))
        lost_before_ = totals->damaged - std::min(totals->damaged, known->totals.damaged);
    // What a new file has of it may be less than what was committed to the old one.
    if (!first || has_gone_back) mark_waits_ = true;
    ledger_.totals = *totals;
    ledger_.last_live_id = std::max(ledger_.last_live_id, highest_ids_[Lane::live]);
    for (Lane lane : lanes) {
        shared_->lanes[lane].appended_through = std::max(highest_ids_[lane], first_id(lane) - 1);
        if (first && is_known) ledger_.delivered_created[lane] = known->delivered[lane].created_unix_nanos;
    }
    stall_.begin_file(highest_ids_[Lane::live], monotonic_nanos());
    shared_->merged.clear();
    heads_lost_ = false;
    shared_->inode = inode_of(shared_->path);
    // Until the next commit the file has not caught up.
    shared_->accounts = has_gone_back ? *known : accounts_of(ledger_, committed_mark_);
    shared_->accounts.inode = shared_->inode;
    database_.count_log_pages(shared_->log_pages);
    shared_->generation++;
    return {};
}

// Before anything is appended: as the time of who wrote the file went.
void Spool::begin_time(const Accounts& known) {
    if (known.boot == boot_ && boot_ != 0) shared_->time.continue_from(known.unix_nanos_at_boot);
    for (Lane lane : lanes)
        shared_->time.begin_at(known.delivered[lane].created_unix_nanos, boot_nanos());
}

// What is known of the file beside it: by an earlier process or, once it was open, by this one.
std::optional<Accounts> Spool::known(const Reading& reading) const {
    if (shared_->generation == 0) {
        auto known = read_accounts(shared_->path);
        // A file that is gone is as good as one that cannot be read, and what another one has had delivered
        // says nothing.
        const uint64_t inode = inode_of(shared_->path);
        if (known && inode == 0) known->inode = 0;
        if (known && known->inode != inode) known->delivered = {};
        return known;
    }
    Accounts known = accounts_of(ledger_, committed_mark_);
    const Reading& before = ledger_.reading;
    known.totals.bytes -= std::min(known.totals.bytes, reading.released_bytes - before.released_bytes);
    known.totals.events -= std::min(known.totals.events, reading.released_events - before.released_events);
    for (Lane lane : lanes)
        known.delivered[lane].id = reading.released_through[lane];
    return known;
}

Accounts Spool::accounts_of(const Ledger& ledger, const std::string& mark) const {
    Accounts accounts;
    accounts.inode = shared_->inode;
    accounts.totals = ledger.totals;
    for (Lane lane : lanes)
        accounts.delivered[lane].created_unix_nanos = ledger.delivered_created[lane];
    accounts.mark = mark;
    accounts.boot = boot_;
    accounts.unix_nanos_at_boot = shared_->time.unix_nanos_at_boot();
    return accounts;
}

// What lies behind the damage of a log is looked for before anything is written to it, but not after another
// boot: what a power cut has torn is no damage.
Result<> Spool::look_behind_damage(const Accounts& known) {
    if (known.boot != boot_ || boot_ == 0 || !exists(shared_->path)) return {};
    copy_began_ns_ = monotonic_nanos();
    auto copy = copy_behind_damage(shared_->path, known, frames_repaired_);
    if (!copy) return copy_failed(copy.error());
    return copy->empty() ? Result<>() : take_copy(*copy);
}

std::unexpected<Error> Spool::copy_failed(const SqlError& error) {
    failed_copy_ns_ = monotonic_nanos() - copy_began_ns_;
    return unavailable(error.within("cannot copy what is whole of the spool " + shared_->path));
}

// Sets the file aside, if it is still there, and begins a new one with what can be saved. Where that cannot
// be written, or there is no room for it, all stays as it is.
Result<> Spool::replace_file(SqlResult<Totals>& totals, const std::optional<Accounts>& known) {
    const bool vanished = shared_->vanished;
    // What the file has, or what it should have: whichever is less.
    uint64_t bytes = known ? known->totals.bytes : std::numeric_limits<uint64_t>::max();
    if (!vanished && exists(shared_->path))
        bytes = std::min(bytes, file_size(shared_->path) + file_size(shared_->path + "-wal"));
    if (auto room = has_room(shared_->path, bytes); !room) return room;
    statements_ = {};
    // A file whose name is gone can be read as long as it is open.
    Database old = vanished ? std::move(database_) : Database();
    database_ = {};
    if (!vanished && exists(shared_->path))
        if (auto opened = Database::open(shared_->path)) old = std::move(*opened);
    copy_began_ns_ = monotonic_nanos();
    const auto copy = copy_whole(old, !vanished, shared_->path, known);
    if (!copy) {
        if (vanished) database_ = std::move(old);
        return copy_failed(copy.error());
    }
    old = {};
    if (auto done = take_copy(*copy); !done) return done;
    totals = open_file();
    return {};
}

// The second and third step of a replacement.
Result<> Spool::take_copy(const std::string& copy) {
    const bool there = exists(shared_->path);
    auto aside = set_aside(shared_->path);
    if (!aside) return unavailable(std::move(aside.error()).within("cannot replace the spool"));
    if (there) files_set_aside_++;
    if (std::rename(copy.c_str(), shared_->path.c_str()) != 0)
        return unavailable(fail_errno("cannot rename " + copy, errno));
    shared_->corrupt = false;
    shared_->vanished = false;
    return {};
}

// What the file answers for once it has been replaced: the rows that are nobody else's, and all that the
// reader has, though its rows may be gone. The accounts are known better than the file knows them.
SqlResult<> Spool::recount(Totals& totals, const Reading& reading) {
    uint64_t events = reading.taken_events + reading.released_events - ledger_.reading.released_events;
    uint64_t bytes = reading.taken_bytes + reading.released_bytes - ledger_.reading.released_bytes;
    std::vector<Range> own = evicting_;
    for (Lane lane : lanes)
        own.push_back({shared_->lanes[lane].claimed + 1, last_possible_id(lane), &Totals::events});
    for (const Range& ids : own) {
        Query sum(statements_.sum, ids.first, ids.last);
        if (auto row = sum.step(); !row) return std::unexpected(row.error());
        events += sum.integer(0);
        bytes += sum.integer(1);
    }
    totals = ledger_.totals.with(events, bytes, totals.last_id);
    return {};
}

SqlResult<Totals> Spool::open_file() {
    statements_ = {};
    database_ = {};
    auto database = open_store(shared_->path);
    if (!database) return std::unexpected(database.error());
    auto totals = read_totals(*database);
    if (!totals) return totals;
    // The newest batch tells how far to read, and what ids are taken.
    auto newest = newest_rows(*database, totals->events > 0);
    if (!newest) return std::unexpected(newest.error());
    for (Lane lane : lanes) {
        highest_ids_[lane] = (*newest)[lane].id;
        if (shared_->generation == 0)
            shared_->time.begin_at((*newest)[lane].created_unix_nanos, boot_nanos());
    }
    totals->last_id = std::max(totals->last_id, highest_ids_[Lane::backlog]);
    const std::string remove =
        fmt::format("DELETE FROM batch WHERE id BETWEEN ?1 AND ?2 RETURNING {}", head_columns);
    const std::pair<Statement&, const char*> wanted[] = {
        {statements_.begin, "BEGIN IMMEDIATE"},
        {statements_.commit, "COMMIT"},
        {statements_.rollback, "ROLLBACK"},
        {statements_.insert, insert_into_batch},
        {statements_.remove, remove.c_str()},
        {statements_.unclaimed,
         "SELECT id, bytes, created_unix_nanos FROM batch WHERE id > ?1 AND id <= ?2 ORDER BY id"},
        {statements_.sum, "SELECT sum(events), sum(bytes) FROM batch WHERE id BETWEEN ?1 AND ?2"},
        {statements_.totals, update_totals},
        {statements_.mark, update_mark},
        {statements_.set_aside, insert_into_set_aside},
        {statements_.trim, trim_set_aside},
    };
    for (auto& [statement, sql] : wanted) {
        auto prepared = database->prepare(sql);
        if (!prepared) return std::unexpected(prepared.error());
        statement = std::move(*prepared);
    }
    if (shared_->generation == 0) {
        auto mark = read_mark(*database);
        if (!mark) return std::unexpected(mark.error());
        committed_mark_ = std::move(*mark);
        // A newer one may wait already, of what came before the file could be opened.
        if (!mark_waits_) mark_ = committed_mark_;
    }
    database_ = std::move(*database);
    return totals;
}

}  // namespace tcptrail::spool
