// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace tcptrail::capture {

struct Options {
    uint32_t ring_bytes = 8u << 20;      // a power of two, a multiple of the page size
    uint32_t overflow_records = 131072;  // beyond the ring; each takes 512 bytes when it comes
    uint32_t max_connections = 524288;   // open at once, whose birth is remembered
    uint32_t drain_interval_ms = 50;     // how long a record may wait in the ring while it is nearly empty
    uint32_t priority_boost = 15;  // steps of niceness that the reader of an overflowing ring is raised by
    uint32_t sweep_interval_secs = 10;  // how often births whose socket is gone are looked for
    // How the results of connect() and accept() are seen: by fexit programs, or where the kernel refuses
    // trampolines by the exits of the system calls, which costs every system call of the host a few
    // nanoseconds.
    enum class Calls { automatic, trampolines, tracepoints, off } calls = Calls::automatic;
    // Where on a bpffs the programs and their state outlive the agent. Empty: they end with it.
    std::string pin = "/sys/fs/bpf/tcptrail";
    uint32_t abandon_after_secs =
        600;                    // pinned programs that hear no agent for so long switch themselves off
    std::string btf;            // the kernel's BTF; empty: /sys/kernel/btf/vmlinux
    bool include_self = false;  // also tell the agent's own connections
    bool tell_opened = false;   // also tell of each connection when it is established
};

}  // namespace tcptrail::capture
