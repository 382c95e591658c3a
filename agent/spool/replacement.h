// SPDX-License-Identifier: Apache-2.0
//
// A file is replaced in three steps: a copy of what is whole in it is made beside it, it is set aside, the
// copy takes its name. Before the second one nothing has changed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent/spool/accounts.h"
#include "agent/spool/database.h"

namespace tcptrail::spool {

// Where the last step was not done, by a process that was killed or for an error, this does it. Returns
// whether it did. A copy beside the file itself may be a part: it is removed.
bool finish_replacement(const std::string& path);

// The first step: returns the copy's path. `old` is the file at `path`, or one whose name is gone (`named` is
// false); none, where it cannot be opened at all. A named one may be closed. An error: the copy cannot be
// written.
SqlResult<std::string> copy_whole(Database& old, bool named, const std::string& path,
                                  const std::optional<Accounts>& known);

// For a file that nobody has opened yet. Where SQLite finds less in it than is known, as its log was damaged,
// copies what is whole, the rest of the log included; the file itself is only read. `repaired`: frames of the
// log. Empty: there is no such damage, and nothing was made.
SqlResult<std::string> copy_behind_damage(const std::string& path, const Accounts& known, uint64_t& repaired);

// Whether the disk of `path` has room for a copy with `bytes` of payload. The error tells how much is
// missing.
Result<> has_room(const std::string& path, uint64_t bytes);

}  // namespace tcptrail::spool
