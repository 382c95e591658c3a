// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "agent/spool/accounts.h"
#include "agent/spool/database.h"

namespace tcptrail::spool {

// Whether the tables are those of a spool of this format or an earlier one, whatever else its first page
// says.
bool has_spool_tables(Database& database);

// Copies the batches and messages set aside that are whole, and the mark, from a file that is no good into
// `store`, in one transaction and with their ids. The accounts go on, from the file or from what is `known`,
// whichever is further, with the batches that are missing as damaged. `from` may be none: then all is
// missing. Only a failure to write is an error; then nothing was copied.
// `is_mended`: its pages are of different commits, so that its totals say nothing of its batches.
SqlResult<> salvage(Database& from, Database& store, const std::optional<Accounts>& known,
                    bool is_mended = false);

}  // namespace tcptrail::spool
