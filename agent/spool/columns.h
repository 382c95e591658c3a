// SPDX-License-Identifier: Apache-2.0
//
// A payload column by column: the same field of all its events together, as the difference from what it is
// likely to be. Compresses events to half of what a general compressor does with them one after the other.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"

namespace tcptrail::spool {

namespace columns {
class Choices;
}

// Belongs to one thread. What it has found to predict numbers by it goes on with for some payloads.
class ColumnPacker {
public:
    ColumnPacker();
    ~ColumnPacker();
    ColumnPacker(const ColumnPacker&) = delete;
    ColumnPacker& operator=(const ColumnPacker&) = delete;

    // `plain` is a plain payload. Empty: it cannot be packed so, or not into less. What is returned unpacks
    // to the same bytes: that has been tried.
    std::string pack(std::string_view plain);

private:
    std::unique_ptr<columns::Choices> choices_;
};

// Takes any bytes. Whatever they say that they hold, it takes no more than some 100 MiB to find out, and
// gives no more than 8 MiB.
Result<std::vector<char>> unpack_columns(std::span<const char> packed);

}  // namespace tcptrail::spool
