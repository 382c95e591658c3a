// SPDX-License-Identifier: Apache-2.0
#include "agent/connections/untold.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "agent/connections/classify.h"

namespace tcptrail::connections {

namespace {

// As much of the record as is known: all that facts_of() looks at.
tcptrail_record record_of(const tcptrail_untold_key& key) {
    tcptrail_record record{};
    record.flags = key.flags;
    tcptrail_birth& birth = record.birth;
    birth.role = key.role;
    birth.state = key.state;
    birth.reset_state = key.state;
    birth.reset_direction = key.reset_direction;
    birth.reported_error = static_cast<uint16_t>(key.reported_error);
    if (key.facts & TCPTRAIL_UNTOLD_ESTABLISHED) birth.flags |= TCPTRAIL_BIRTH_ESTABLISHED;
    if (key.facts & TCPTRAIL_UNTOLD_ENDED_BY_CALL) birth.flags |= TCPTRAIL_BIRTH_ENDED_BY_OWNER;
    if (key.facts & TCPTRAIL_UNTOLD_ENDING) birth.flags |= TCPTRAIL_BIRTH_ENDING;
    for (uint64_t path = key.path; path && birth.timeline_len < TCPTRAIL_TIMELINE_LEN; path >>= 4)
        birth.timeline[birth.timeline_len++] = path & 0xf;
    record.socket.error = static_cast<uint16_t>(key.error);
    record.socket.segments_out = key.facts & TCPTRAIL_UNTOLD_SENT ? 1 : 0;
    record.socket.shutdown = key.facts & TCPTRAIL_UNTOLD_SHUTDOWN ? 1 : 0;
    record.trouble.send_queue = key.facts & TCPTRAIL_UNTOLD_UNACKNOWLEDGED ? 1 : 0;
    return record;
}

}  // namespace

std::vector<Untold> classify_untold(std::span<const std::pair<tcptrail_untold_key, tcptrail_untold>> totals) {
    std::map<std::tuple<Role, Outcome, End>, Untold> sums;
    for (const auto& [key, total] : totals) {
        const Facts facts = facts_of(record_of(key));
        const Outcome outcome = outcome_of(facts);
        const End end = end_of(facts);
        Untold& sum = sums[{facts.role, outcome, end}];
        sum.role = facts.role;
        sum.outcome = outcome;
        sum.end = end;
        sum.lifecycles += total.lifecycles;
        sum.bytes_sent += total.bytes_sent;
        // The kernel counts a FIN that was received as a byte.
        const uint64_t fins = facts.fin_received ? total.lifecycles : 0;
        sum.bytes_received += total.bytes_received - std::min<uint64_t>(total.bytes_received, fins);
    }
    std::vector<Untold> all;
    for (const auto& [kind, sum] : sums)
        all.push_back(sum);
    return all;
}

}  // namespace tcptrail::connections
