// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/base/error.h"
#include "agent/base/fd.h"

namespace tcptrail::capture {

// Opens the trace event "syscalls/sys_exit_connect" for a BPF program to be attached to: a descriptor of
// perf_event_open(), for all CPUs. Its number is looked up in tracefs, which is mounted for nobody else to
// see where it is not mounted (needs CAP_SYS_ADMIN). Fails with the errno of what was refused.
Result<Fd> open_trace_event(const std::string& name);

}  // namespace tcptrail::capture
