// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/base/error.h"
#include "agent/base/fd.h"

namespace tcptrail::spool {

// Makes `directory` where it is missing (0750) and takes the lock on <directory>/lock, so that one
// process owns what lies in it. The lock ends with the descriptor, however the process ends. The error
// names the process that holds it; one of the disk, which may pass, has ExitCode::unavailable.
Result<Fd> lock_directory(const std::string& directory);

}  // namespace tcptrail::spool
