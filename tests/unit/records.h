// SPDX-License-Identifier: Apache-2.0
//
// Records as the kernel side would have written them, for the tests of the stages.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "bpf/abi/record.h"

namespace tcptrail::tests {

inline constexpr uint64_t second_ns = 1'000'000'000;

// A connection opened at 100 s after boot, from 10.0.0.1:40000 to 10.0.0.2:80, owned by curl[1234].
inline tcptrail_record make_record(uint8_t role) {
    tcptrail_record record{};
    record.version = TCPTRAIL_RECORD_VERSION;
    record.size = sizeof record;
    record.ended_ns = 103 * second_ns;
    tcptrail_birth& birth = record.birth;
    birth.cookie = 77;
    birth.opened_ns = 100 * second_ns;
    birth.role = role;
    birth.owner.actor.pid = 1234;
    birth.owner.actor.uid = 1000;
    birth.owner.source = role == TCPTRAIL_ROLE_CLIENT ? TCPTRAIL_OWNER_CONNECT : TCPTRAIL_OWNER_LISTENER;
    std::strcpy(birth.owner.actor.name, "curl");
    std::strcpy(birth.owner.thread_name, "curl");
    birth.addresses.family = AF_INET;
    birth.addresses.netns = 4026531840;
    const uint8_t local[] = {10, 0, 0, 1}, remote[] = {10, 0, 0, 2};
    std::memcpy(birth.addresses.local, local, sizeof local);
    std::memcpy(birth.addresses.remote, remote, sizeof remote);
    birth.addresses.local_port = 40000;
    birth.addresses.remote_port = 80;
    record.socket.segments_out = 5;
    record.socket.rtt_min_us = ~0u;
    record.socket.ssthresh = 0x7fffffff;
    std::strcpy(record.socket.congestion, "cubic");
    return record;
}

// Walks through the states a millisecond apart; `state` is then the last before CLOSE.
inline void walk(tcptrail_record& record, std::initializer_list<uint8_t> states) {
    tcptrail_birth& birth = record.birth;
    for (const uint8_t state : states) {
        const uint64_t at = uint64_t{birth.timeline_len} * 1'000'000;
        birth.timeline[birth.timeline_len++] = at << 4 | state;
        if (state == 1) birth.established_ns = birth.opened_ns + at;
        if (state != 7) birth.state = state;
    }
}

}  // namespace tcptrail::tests
