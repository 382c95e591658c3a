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
    birth.owner_source = role == TCPTRAIL_ROLE_CLIENT ? TCPTRAIL_OWNER_CONNECT : TCPTRAIL_OWNER_LISTENER;
    std::strcpy(birth.owner.actor.name, "curl");
    std::strcpy(birth.thread_name, "curl");
    birth.family = AF_INET;
    birth.netns = 4026531840;
    const uint8_t local[] = {10, 0, 0, 1}, remote[] = {10, 0, 0, 2};
    std::memcpy(birth.local, local, sizeof local);
    std::memcpy(birth.remote, remote, sizeof remote);
    birth.local_port = 40000;
    birth.remote_port = 80;
    record.socket.segments_out = 5;
    record.socket.rtt_min_us = ~0u;
    record.socket.ssthresh = 0x7fffffff;
    std::strcpy(record.socket.congestion, "cubic");
    return record;
}

// Walks through the states a millisecond apart; `state` is then the last before CLOSE, which comes when the
// record says that it ended.
inline void walk(tcptrail_record& record, std::initializer_list<uint8_t> states) {
    tcptrail_birth& birth = record.birth;
    uint64_t at = 0;
    for (const uint8_t state : states) {
        const bool is_first = birth.timeline_len == 0 && at == 0 && (state == 2 || state == 3);
        if (!is_first && state != 7) birth.timeline[birth.timeline_len++] = at << 4 | state;
        if (state == 1) birth.flags |= TCPTRAIL_BIRTH_ESTABLISHED;
        if (state != 7) birth.state = state;
        at += 1'000'000;
    }
}

inline tcptrail_record client(std::initializer_list<uint8_t> states) {
    auto record = make_record(TCPTRAIL_ROLE_CLIENT);
    walk(record, states);
    return record;
}

inline tcptrail_record server(std::initializer_list<uint8_t> states) {
    auto record = make_record(TCPTRAIL_ROLE_SERVER);
    walk(record, states);
    return record;
}

// When it was established: `ns` after it was opened.
inline void establish(tcptrail_record& record, uint64_t ns) {
    tcptrail_birth& birth = record.birth;
    birth.flags |= TCPTRAIL_BIRTH_ESTABLISHED;
    for (int i = 0; i < birth.timeline_len; ++i)
        if ((birth.timeline[i] & 0xf) == 1) birth.timeline[i] = ns << 4 | 1;
}

// `local` and `remote` have 16 bytes.
inline void set_addresses(tcptrail_birth& birth, int family, const uint8_t* local, const uint8_t* remote) {
    birth.family = static_cast<uint8_t>(family);
    std::memcpy(birth.local, local, sizeof birth.local);
    std::memcpy(birth.local_rest, local + sizeof birth.local, sizeof birth.local_rest);
    std::memcpy(birth.remote, remote, sizeof birth.remote);
    std::memcpy(birth.remote_rest, remote + sizeof birth.remote, sizeof birth.remote_rest);
}

// By another process than its owner.
inline void end_by(tcptrail_record& record, uint32_t pid, const char* name) {
    record.birth.flags |= TCPTRAIL_BIRTH_ENDED_BY_OTHER;
    record.details.ended_by_pid = pid;
    std::strcpy(record.details.ended_by_name, name);
}

}  // namespace tcptrail::tests
