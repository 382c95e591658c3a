// SPDX-License-Identifier: Apache-2.0
//
// Payloads as they are stored: compressed where that pays. Objects belong to one thread each.
#pragma once

#include <zstd.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/spool/columns.h"

namespace tcptrail::spool {

// For batches that are written as they come, and that Kafka may have a moment later.
inline constexpr int fast_level = -3;
// For those that wait: what is written once may lie there for days.
inline constexpr int dense_level = 9;

class Compressor {
public:
    explicit Compressor(int level);

    // A plain payload (see PayloadBuilder) as it is to be stored: itself, when compression gains less than a
    // tenth.
    std::string pack(std::string plain);
    // The same as small as it can be made, at 25 MB/s: for batches that wait.
    std::string pack_densely(std::string plain);

private:
    struct Free {
        void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
    };
    std::unique_ptr<ZSTD_CCtx, Free> context_;
    ColumnPacker columns_;
    std::string packed_;
};

class Decompressor {
public:
    Decompressor() : context_(ZSTD_createDCtx()) {}

    // The plain payload. Takes any bytes; needs memory for what they say that they hold, up to some
    // 100 MiB.
    Result<std::vector<char>> unpack(std::span<const char> stored);

private:
    struct Free {
        void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
    };
    std::unique_ptr<ZSTD_DCtx, Free> context_;
};

}  // namespace tcptrail::spool
