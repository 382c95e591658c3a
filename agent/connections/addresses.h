// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/connections/connection.h"
#include "bpf/abi/listener.h"
#include "bpf/abi/record.h"

namespace tcptrail::connections {

// Both ends of a connection.
tcptrail_addresses addresses_of(const tcptrail_birth& birth);

// Reads both ends into `connection`; IPv4-mapped IPv6 becomes IPv4.
void set_addresses(Connection& connection, const tcptrail_addresses& addresses);

// By RFC 1122 (127/8), 3927, 4291 (::1, fe80::/10), 1918, 4193 (fc00::/7), 6598 (100.64/10).
Scope scope_of(const Endpoint& endpoint, bool ipv6);

}  // namespace tcptrail::connections
