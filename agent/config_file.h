// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "agent/base/error.h"

namespace tcptrail {

// The whole content of the file at `path`, up to `max_bytes`; a longer one is an error, as is a directory.
// The message begins with the path, on one line.
Result<std::string> read_small_file(const std::string& path, size_t max_bytes);

}  // namespace tcptrail
