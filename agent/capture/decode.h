// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "agent/base/error.h"
#include "bpf/abi/listener.h"
#include "bpf/abi/record.h"

namespace tcptrail::capture {

// The record in one piece of ring content. Refuses other sizes and versions, and numbers outside of
// what the ABI allows: what passes can be used without further checks. The result points into `bytes`, or to
// `room`, where the short form is expanded.
Result<const tcptrail_record*> decode(std::span<const std::byte> bytes, tcptrail_record& room);

// The same for what the iterator over the listeners writes.
Result<const tcptrail_listener_record*> decode_listener(std::span<const std::byte> bytes);

}  // namespace tcptrail::capture
