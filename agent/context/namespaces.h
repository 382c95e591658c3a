// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tcptrail::context {

// What the kernel counts for one network namespace, in /proc/<pid>/net of any process in it.
struct NamespaceCounts {
    uint64_t opens = 0;  // ActiveOpens + PassiveOpens of snmp: connections that began, of both roles
    std::optional<uint64_t> listen_overflows, listen_drops, syncookies_sent;  // netstat
    std::optional<uint64_t> time_wait;                                        // sockstat
};

// Nothing when the process is gone.
std::optional<NamespaceCounts> read_namespace_counts(const std::string& proc, uint32_t pid);

// The opens alone.
std::optional<uint64_t> read_opens(const std::string& proc, uint32_t pid);

// The number below `name` in the two lines "Tcp: name name …" and "Tcp: number number …" of snmp or netstat.
std::optional<uint64_t> counter_of(std::string_view text, std::string_view block, std::string_view name);

// The number behind `name` in a line like "TCP: inuse 5 orphan 0 tw 3" of sockstat.
std::optional<uint64_t> sockstat_of(std::string_view text, std::string_view block, std::string_view name);

}  // namespace tcptrail::context
