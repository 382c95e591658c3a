// SPDX-License-Identifier: Apache-2.0
//
// Reads what the ring had no room for: the map `overflow`, in the order of its places. As with the ring, what
// was read stays until it is released.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/fd.h"
#include "agent/capture/layout.h"

struct tcptrail_control;

namespace tcptrail::capture {

// One reader, on the capture thread. Places are the ones of abi/control.h.
class Overflow {
public:
    // Borrowed: the words in it that tell of places are this reader's and the programs'.
    explicit Overflow(tcptrail_control& control);

    // A map in which records lie: the programs', and those of programs before them that have another layout.
    // Adding one anew is no error. The last one is the programs'.
    Result<> add(Fd map, std::optional<RecordTranslations> translations);

    // Whether all places that were taken so far are finished, and some are not read. The next ones are then
    // read up to there: what was in the ring before that was said comes first.
    bool look();
    // A record up to there. Nothing: there is none. Valid until the next call.
    struct Record {
        std::span<const std::byte> bytes;
        const std::optional<RecordTranslations>& translations;
    };
    std::optional<Record> next();
    // Why the last next() could not read what there is (errno); 0: it could.
    int error() const { return error_; }

    // Behind the place that was read last.
    uint64_t position() const { return next_; }
    // To go on from where an earlier reader had come to.
    void seek(uint64_t position);
    // Makes room up to `position`, one that was read.
    void release(uint64_t position);

    // When all is released: what other programs have left is empty.
    void forget_old_maps();

    // Taken and not released: read or not.
    uint64_t used() const;
    // Taken and not read. Some of them may be empty.
    uint64_t unread_at_most() const;

private:
    struct Map {
        Fd fd;
        uint32_t id;
        std::optional<RecordTranslations> translations;
    };
    uint64_t taken() const;
    bool is_plausible() const;
    void mend();
    void move(uint64_t from, uint64_t to);
    bool is_out_of_step(uint64_t finished, uint64_t taken);
    void remove(uint64_t place) const;

    tcptrail_control* control_;
    std::vector<Map> maps_;
    std::vector<std::byte> value_;
    uint64_t most_ = 0;  // places that are in use at once
    uint64_t released_;
    uint64_t next_;
    uint64_t end_;  // of what may be read
    int error_ = 0;
    // How many places were taken and finished when that changed last while they were not as many.
    uint64_t waiting_taken_ = 0, waiting_finished_ = 0, waiting_since_ns_ = 0;
};

}  // namespace tcptrail::capture
