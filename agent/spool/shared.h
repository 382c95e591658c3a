// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "agent/base/counter.h"
#include "agent/base/fd.h"
#include "agent/base/mutex.h"
#include "agent/spool/accounts.h"
#include "agent/spool/lane.h"
#include "agent/spool/memory.h"
#include "agent/spool/steady_time.h"

namespace tcptrail::spool {

// What the reader has in hand and is done with. It knows by the messages themselves, whatever becomes of the
// rows.
struct Reading {
    PerLane<uint64_t> released_through;  // all batches that it took up to this id are released
    uint64_t released_events = 0;        // of these, without damaged ones
    uint64_t released_bytes = 0;
    uint64_t too_large_events = 0;    // of the released ones: set aside instead of delivered
    PerLane<uint64_t> taken_batches;  // that it took beyond it
    uint64_t taken_events = 0;        // in these, without damaged ones
    uint64_t taken_bytes = 0;
};

// Batches of the backlog, made into one by the spool-sync thread, for the appender to put in their place.
struct Merged {
    uint64_t first_id = 0;
    uint64_t last_id = 0;             // the new batch's id too
    uint64_t created_unix_nanos = 0;  // of the last one
    uint64_t events = 0;
    std::string payload;
};

// Ids only grow. Batches up to `claimed` belong to whoever moved it there: the reader, to deliver them, or
// the appender, to evict them. Moved by compare-and-swap only, so no batch has two owners.
struct LaneState {
    std::atomic<uint64_t> claimed = 0;
    std::atomic<uint64_t> appended_through = 0;  // appender: committed
};

// All that the threads of a spool share, besides the file.
struct Shared {
    Shared() { lanes[Lane::live].claimed = lanes[Lane::live].appended_through = first_live_id - 1; }

    std::string path;               // of the database
    Fd lock;                        // on its directory
    Fd wake;                        // eventfd: something for the reader's thread to do
    uint64_t max_taken_bytes = 0;   // how much the reader may hold unreleased
    uint64_t max_taken_memory = 0;  // the same of what is in memory

    PerLane<LaneState> lanes;

    MemoryBuffer memory;  // what is not in the file
    SteadyTime time;      // of batches

    // The appender replaced the file: connections to the old one must be opened anew, under `turn`.
    std::atomic<uint32_t> generation = 0;
    // Somebody met a page that cannot be read, or a sync failed, after which nobody knows what is on the
    // disk: the appender replaces the file.
    std::atomic<bool> corrupt = false;
    // The file is no longer where it was: the appender makes another one.
    std::atomic<bool> vanished = false;
    std::atomic<uint64_t> inode = 0;         // of the file; 0: not open yet
    std::atomic<bool> scarce = false;        // the disk has less free than it should
    std::atomic<uint64_t> stored_bytes = 0;  // appender: in all batches of the file
    std::atomic<uint64_t> file_bytes = 0;    // of the file; what was deleted in it can be written again

    // Whose turn it is to write or replace the file. The appender only tries it, so that it never waits.
    Mutex turn;

    // Counts what was merged: a row that was read before may stand for less than the one in its place now.
    // Changes under `mutex`.
    std::atomic<uint64_t> merges = 0;

    Fd sync_wake;  // eventfd: something for the spool-sync thread to do
    Counter commits;
    Counter synced;     // of the commits: a power cut does not take them
    Counter log_pages;  // in the write-ahead log

    // Held for moments only, but while the appender replaces the file.
    Mutex mutex;
    Reading reading GUARDED_BY(mutex);
    std::vector<uint64_t> damaged GUARDED_BY(mutex);      // reader → appender: batches to set aside
    std::deque<std::string> set_aside GUARDED_BY(mutex);  // reader → appender: payloads of one message each
    std::deque<Merged> merged GUARDED_BY(mutex);          // spool-sync → appender
    std::string trouble GUARDED_BY(mutex);                // checkpointer → appender: what failed
    Accounts accounts GUARDED_BY(mutex);                  // appender → checkpointer: of the last commit
};

}  // namespace tcptrail::spool
