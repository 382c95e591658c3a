// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace tcptrail::spool {

// SQLite reads a write-ahead log up to the first frame whose checksum does not fit, and the next writer
// writes over what comes after it. So one damaged byte would cost all that was committed since. This makes
// another log, in which such a frame is taken out: the page that it had stays as it was before, and all
// frames have checksums that fit.
//
// What lies behind the end of a log may fit, too: what was written before SQLite had dropped something. So
// this is only for a log of which it is known that more was committed to it than SQLite finds, and what it
// leads to is only to be salvaged from: its pages may be of different commits.
//
// Reads the log of the database at `path`, and writes one for the name `to` where something is wrong with it.
// Returns how many frames were taken out or mended; 0: none, or it cannot be read. Nothing: it could not be
// written.
std::optional<uint64_t> repair_log(const std::string& path, const std::string& to);

}  // namespace tcptrail::spool
