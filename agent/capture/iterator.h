// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "agent/base/error.h"

struct bpf_link;

namespace tcptrail::capture {

// Gets one element that an iterator wrote; valid only during the call.
using ElementConsumer = std::function<void(std::span<const std::byte>)>;

// Called between two reads, when all that was read has been consumed. False ends the run there, as an error
// does.
using BetweenReads = std::function<Result<bool>()>;

// Runs a BPF iterator from beginning to end: reading its file runs the program. `name` is for the error.
// `consumer` gets what the program writes, in elements of `element_size` bytes.
Result<> run_iterator(bpf_link* link, const char* name, size_t element_size, const ElementConsumer& consumer,
                      const BetweenReads& between = nullptr);

// The same of a program that writes nothing.
Result<> run_iterator(bpf_link* link, const char* name);

}  // namespace tcptrail::capture
