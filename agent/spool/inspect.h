// SPDX-License-Identifier: Apache-2.0
//
// What an administrator may want to know of a spool's file. Nothing here writes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/spool/batch.h"
#include "agent/spool/compression.h"
#include "agent/spool/database.h"
#include "agent/spool/schema.h"

namespace tcptrail::spool {

// A file beside the one in use.
struct FileSetAside {
    std::string path;
    uint64_t bytes = 0;
};
// Oldest first; without their logs.
std::vector<FileSetAside> files_set_aside(const std::string& directory);

// Reads a spool's file beside the agent that uses it, one that was set aside, or one on a disk that is
// read-only. Belongs to one thread.
class Inspector {
public:
    struct Overview {
        uint64_t format = 0;
        std::optional<Totals> totals;  // nothing: damaged
        bool has_mark = false;
        uint64_t batches = 0;
        uint64_t messages_set_aside = 0;
        uint64_t oldest_unix_nanos = 0;  // of what is held; 0: nothing is
        uint64_t newest_unix_nanos = 0;
        uint64_t file_bytes = 0;
        uint64_t log_bytes = 0;
    };
    struct Found {
        RowHead head;
        bool head_whole = false;
        std::string problem;  // empty: the batch is whole
        std::vector<MessageView> messages;
    };

    static Result<Inspector> open(const std::string& path);

    // Why not all of the file can be seen; empty: it can.
    const std::string& warning() const { return warning_; }
    Result<Overview> overview();
    // Each batch, oldest first, until `visit` returns false. Holds up the agent's log only for moments, so
    // what is delivered or merged meanwhile may be missing, or come twice. Returns whether a page could not
    // be read, which hides batches.
    Result<bool> each(const std::function<bool(const Found&)>& visit);

    // Each message that the brokers refused, oldest first, until `visit` returns false. Returns how many are
    // damaged.
    Result<uint64_t> each_set_aside(const std::function<bool(const MessageView&)>& visit);

private:
    std::string path_;
    std::string warning_;
    Database database_;
    Decompressor decompressor_;
};

}  // namespace tcptrail::spool
