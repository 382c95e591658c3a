// SPDX-License-Identifier: Apache-2.0
//
// What became of an attempt, and how a connection ended: one table each, first match wins. README.md
// says why each line is as it is.
#pragma once

#include <cstdint>

#include "agent/connections/connection.h"
#include "bpf/abi/record.h"

namespace tcptrail::connections {

// The facts that the tables look at.
struct Facts {
    Role role = Role::unspecified;
    uint8_t state = tcp_unknown;  // the last one before the end
    bool established = false;     // was seen to be, or must have been by its last state
    bool end_missed = false;
    int error = 0;  // sk_err; of an attempt also what was reported before
    bool syn_was_sent = false;
    bool application_closed = false;  // close() or shutdown() of both directions came before the end
    bool ended_by_call = false;       // of a process: known which
    bool local_abort = false;         // CLOSE without the peer's doing: the reset comes from here
    ResetDirection reset = ResetDirection::unspecified;  // one in the last state
    bool fin_received = false;
    bool orphan = false;
    bool all_acknowledged = false;  // nothing sent is without acknowledgement, a FIN included
    bool passed_fin_wait1 = false, passed_close_wait = false, passed_closing = false;
};

Facts facts_of(const tcptrail_record& record);
Outcome outcome_of(const Facts& facts);
End end_of(const Facts& facts);
// errno as the application got it; 0 when it got none.
int error_of(const Facts& facts, Outcome outcome, End end);

}  // namespace tcptrail::connections
