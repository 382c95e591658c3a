// SPDX-License-Identifier: Apache-2.0
//
// A BPF ring buffer that holds the content to read: only the kernel can write to one, so a program does.
#pragma once

#include <memory>

#include "agent/base/error.h"
#include "agent/capture/ring.h"

namespace tcptrail::bench {

// Needs CAP_BPF, and Linux 5.14 for a program that is run by a system call.
Result<std::unique_ptr<capture::Ring>> make_filled_ring();

}  // namespace tcptrail::bench
