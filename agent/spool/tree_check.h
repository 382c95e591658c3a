// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/spool/database.h"

namespace tcptrail::spool {

// Whether the pages that lead to the batches have all that they had. SQLite takes a page by the number of
// cells that it states: with fewer than there were it passes over what they led to, and there is no error.
// What no cell, free block or fragment accounts for is the trace of it.
//
// Reads these pages from the file, one for some hundred of those with batches: only of a file at rest, whose
// log is empty. True also where they cannot be read, which SQLite notices by itself.
bool leads_to_all(const std::string& path, Database& database);

}  // namespace tcptrail::spool
