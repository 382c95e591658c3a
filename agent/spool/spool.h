// SPDX-License-Identifier: Apache-2.0
//
// The store between capture and Kafka: what is appended stays on disk until it is released.
// README.md tells the invariants, the accounts and the format.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/counter.h"
#include "agent/base/error.h"
#include "agent/encode/message.h"
#include "agent/spool/accounts.h"
#include "agent/spool/batch.h"
#include "agent/spool/checkpointer.h"
#include "agent/spool/compression.h"
#include "agent/spool/database.h"
#include "agent/spool/options.h"
#include "agent/spool/reader.h"
#include "agent/spool/schema.h"
#include "agent/spool/shared.h"
#include "agent/spool/stall.h"

namespace tcptrail::spool {

// The accounts since the spool was made, over all runs, in events unless it says otherwise. At all times
// in = released + too_large + evicted + expired + damaged + memory_full + held.
struct SpoolStats {
    uint64_t found = 0;            // held when the spool was opened: from earlier runs
    uint64_t in = 0;               // appended
    uint64_t released = 0;         // delivered
    uint64_t too_large = 0;        // lost: the brokers refuse it
    uint64_t evicted = 0;          // lost: the spool was full
    uint64_t expired = 0;          // lost: too old
    uint64_t damaged = 0;          // lost: could not be read back
    uint64_t memory_full = 0;      // lost: the disk did not take them, and the memory for such times was full
    uint64_t held = 0;             // neither delivered nor lost yet, in the file or in memory
    uint64_t held_bytes = 0;       // of payload
    uint64_t memory_bytes = 0;     // the part of held_bytes that waits in memory for the disk
    uint64_t files_set_aside = 0;  // since open: databases that were no good and were renamed
    uint64_t lost_before = 0;      // the part of `damaged` that open() found missing
    uint64_t frames_repaired = 0;  // of the file's log, by open(): see log_repair.h
    std::string problem;           // why the disk does not take events now, or no more; empty: it does
    bool in_memory = false;        // it takes none: they wait in memory
};

// What a Spool had in memory only, at its end: for the next one in this process.
struct Leftover {
    std::vector<MemoryBatch> batches;
    std::string mark;  // of all of it; may be empty
    // Accounts that the file does not have.
    uint64_t dropped = 0;    // lost: memory_full
    uint64_t released = 0;   // delivered from memory
    uint64_t too_large = 0;  // of these

    bool empty() const { return batches.empty() && dropped == 0 && released == 0; }
    uint64_t events() const;  // in the batches
};

// The appending side. All of it belongs to the capture thread, but for stats(). No call waits for a
// lock or for a disk to sync.
class Spool {
public:
    // Makes the directory and the file where they are missing, and takes the directory's lock. A file that
    // is no spool is set aside. Does not read what is in the spool, however much that is, but where it is
    // damaged. What the disk refuses is no error: the spool begins in memory, and SpoolStats::problem tells
    // why. The errors are a lock that another process holds, and a directory that cannot be one.
    static Result<std::unique_ptr<Spool>> open(const Options& options);
    // As finish(); what is left is gone.
    ~Spool();

    // Before the first append().
    void take_over(Leftover leftover);
    // Writes what waits, at once and for the last time. Returns what could not be written; stats()
    // still tells it as held. Nothing may be called afterwards but stats() and what is const. The reader has
    // ended: what it has from memory stays with it.
    Leftover finish();

    // Takes all messages. On an error they are kept in memory, up to a bound, from where the reader delivers
    // them; later calls try again, at growing intervals. Nothing else is to be done about it but to tell.
    // `mark` (at most max_mark_bytes; empty: none) tells the caller after a restart how far it had come: it
    // replaces the earlier one in the transaction that commits these messages, or would, had they not been
    // dropped.
    Result<> append(std::span<const Message> messages, std::string_view mark);

    // The mark of what is committed in the file; what the file had, after open(); empty: none. With
    // Sync::full it is told only once it is durable: it moves on by append() and maintain().
    const std::string& committed_mark() const { return committed_mark_; }
    // The mark of all that was appended or taken over.
    const std::string& newest_mark() const { return mark_; }
    // Nothing waits in memory: all that was appended, and its mark, is committed; with Sync::full, and
    // durable.
    bool settled() const;
    // Nothing of what was appended is in memory only, nor are accounts of what was lost: the end of the
    // process takes nothing. Capture thread.
    bool outlives() const { return shared_->memory.sums().held_events == 0 && dropped_ == 0; }
    // Of what was appended Kafka or the file may have more than the file's mark stands for: told anew after a
    // crash, it would be there twice, and not as the same. Capture thread.
    bool is_ahead_of_mark() const { return shared_->memory.is_open() || file_is_ahead_; }
    // Nothing is to be written, deleted or evicted. Capture thread.
    bool idle();

    // Deletes what was released, evicts, and writes what waits in memory. To be called at least once a
    // second; does nothing when there is nothing to do.
    Result<> maintain();

    // Any thread; the identity above holds exactly on the capture thread.
    SpoolStats stats() const;

    // The reading side, once per Spool. It may outlive the Spool, and then sees nothing new.
    Result<std::unique_ptr<SpoolReader>> reader();

private:
    // What a transaction changes; takes effect when it is committed.
    struct Ledger {
        Totals totals;  // `events` and `bytes`: in rows, or in the reader's hands
        uint64_t last_live_id = first_live_id - 1;
        Reading reading;  // what is taken account of; released batches are deleted
        uint64_t released_from_memory = 0;
        uint64_t too_large_from_memory = 0;
        bool mark_written = false;
        PerLane<uint64_t> delivered_created;  // of the newest batch that was deleted as released
    };
    struct Range {
        uint64_t first;
        uint64_t last;
        uint64_t Totals::* account;  // what the events in it are counted as
    };
    struct Statements {
        Statement begin, commit, rollback, insert, remove, unclaimed, sum, totals, mark, set_aside, trim;
    };

    // How long it takes turns with the reader, which may be in the way.
    static constexpr uint64_t longest_turn_ns = 200'000'000;

    explicit Spool(const Options& options)
        : options_(options),
          bound_bytes_(options.max_bytes),
          stall_(options.longest_live_wait_ms * 1'000'000) {}

    Result<> attach();
    Result<> replace_file(SqlResult<Totals>& totals, const std::optional<Accounts>& known);
    std::optional<Accounts> known(const Reading& reading) const;
    Accounts accounts_of(const Ledger& ledger, const std::string& mark) const;
    void begin_time(const Accounts& known);
    Result<> look_behind_damage(const Accounts& known);
    std::unexpected<Error> copy_failed(const SqlError& error);
    Result<> take_copy(const std::string& copy);
    Result<> find_place();
    Result<> store();
    void note_outcome(const Result<>& done);
    void hand_to_reader();
    SqlResult<Totals> open_file();
    SqlResult<> recount(Totals& totals, const Reading& reading);
    void look_at_lanes();
    bool has_backlog() const;
    Lane choose_lane(const Message& message, bool has_backlog) const;
    void seal(PayloadBuilder& builder, Lane lane);
    Result<> flush();
    SqlResult<> write(Ledger& ledger);
    SqlResult<> remove_released(Ledger& ledger);
    SqlResult<> remove_lost(Range ids, Ledger& ledger);
    SqlResult<> keep_set_aside();
    SqlResult<> evict(Ledger& ledger);
    SqlResult<> expire(Ledger& ledger);
    SqlResult<Lane> older_lane();
    SqlResult<Range> oldest(Lane lane, uint64_t Totals::* account, uint64_t bytes, uint64_t created_before);
    SqlResult<bool> take_back(Range victims, Ledger& ledger);
    bool expiry_due() const;
    bool is_before(uint64_t created, uint64_t before) const;
    SqlResult<> merge();
    SqlResult<> replace(const Merged& merged);
    void note_durable();
    void settle(const Ledger& ledger);
    bool blocked_for_long();
    void publish();

    const Options options_;
    uint64_t bound_bytes_;  // beyond it the oldest are evicted
    std::shared_ptr<Shared> shared_;
    std::unique_ptr<Checkpointer> checkpointer_;
    bool reader_given_ = false;
    bool finished_ = false;

    Database database_;
    Statements statements_;
    Ledger ledger_;
    PerLane<uint64_t> highest_ids_;  // in the file when it was opened; 0: none
    bool retry_soon_ = false;        // the last attempt failed for what is over soon
    std::string problem_;            // under Shared::mutex
    uint64_t retry_at_ns_ = 0;       // CLOCK_MONOTONIC: the file is left alone until then
    uint64_t retry_delay_ns_ = 0;    // 0: the last attempt succeeded
    uint64_t blocked_since_ns_ = 0;  // it has been somebody else's turn since; 0: it was not
    Compressor compressor_{fast_level};
    Stall stall_;
    uint64_t opened_created_ = 0;  // unix nanos: what is appended is no older
    uint64_t last_created_ = 0;    // unix nanos, of a batch
    const uint64_t boot_ = this_boot();
    std::string mark_;  // the newest
    std::string committed_mark_;
    bool mark_waits_ = false;                                     // mark_ is to be written
    bool file_is_ahead_ = false;                                  // it got messages without their mark
    std::deque<std::pair<uint64_t, std::string>> marks_to_sync_;  // by commit; with Sync::full
    std::deque<std::string> set_aside_;                           // payloads, not committed yet
    uint64_t next_expiry_ns_ = 0;                                 // CLOCK_MONOTONIC
    std::vector<Range> evicting_;                                 // claimed to be removed, not deleted yet
    std::vector<uint64_t> damaged_ids_;                           // told by the reader, not deleted yet

    bool heads_lost_ = false;  // rows of this file were removed that could not tell how many events they had
    uint64_t found_ = 0;
    uint64_t dropped_ = 0;  // from memory, not in the ledger yet
    uint64_t files_set_aside_ = 0;
    uint64_t lost_before_ = 0;
    uint64_t frames_repaired_ = 0;
    uint64_t copy_began_ns_ = 0;   // CLOCK_MONOTONIC
    uint64_t failed_copy_ns_ = 0;  // how long the last attempt to replace the file took in vain
    struct {
        Counter found, in, released, too_large, evicted, expired, damaged, memory_full, held, held_bytes,
            memory_bytes, files_set_aside;
    } counters_;
};

}  // namespace tcptrail::spool
