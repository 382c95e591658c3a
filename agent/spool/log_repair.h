// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace tcptrail::spool {

// SQLite reads a write-ahead log up to the first frame whose checksum does not fit, and the next writer
// writes over what comes after it. So one damaged byte would cost all that was committed since. This takes
// such a frame out: the page that it had stays as it was before, and all frames get checksums that fit. What
// lies behind the last frame that fits, such as what a power cut has torn, stays out, as for SQLite.
//
// For the log of the database at `path`, before it is opened. Returns how many frames were taken out or
// mended; 0 also where the log cannot be read or written.
uint64_t repair_log(const std::string& path);

}  // namespace tcptrail::spool
