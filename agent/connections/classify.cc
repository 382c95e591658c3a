// SPDX-License-Identifier: Apache-2.0
#include "agent/connections/classify.h"

#include <cerrno>

namespace tcptrail::connections {

namespace {

bool is_after_established(uint8_t state) {
    return state != tcp_unknown && state != tcp_syn_sent && state != tcp_syn_recv && state != tcp_close &&
           state != tcp_listen;
}

// Both directions were closed and everything was acknowledged, or the rest is TIME_WAIT's: the socket did
// its work to the end, whatever error may be pending from before.
bool is_orderly(const Facts& f) {
    if (!f.all_acknowledged) return false;
    switch (f.state) {
        case tcp_last_ack:
        case tcp_closing:
            return true;
        case tcp_fin_wait1:
        case tcp_fin_wait2:
            return f.fin_received || f.orphan;
        default:
            return false;
    }
}

bool is_reset_error(int error) {
    return error == ECONNRESET || error == EPIPE || error == ECONNREFUSED;
}

struct OutcomeRule {
    bool (*applies)(const Facts&);
    Outcome outcome;
};

constexpr OutcomeRule outcome_rules[] = {
    {[](const Facts& f) { return f.established; }, Outcome::established},
    {[](const Facts& f) { return f.end_missed; }, Outcome::unspecified},
    {[](const Facts& f) { return f.error == ECONNREFUSED; }, Outcome::refused},
    {[](const Facts& f) { return f.error == ETIMEDOUT; }, Outcome::timed_out},
    {[](const Facts& f) { return f.error == EHOSTUNREACH || f.error == EHOSTDOWN; },
     Outcome::host_unreachable},
    {[](const Facts& f) { return f.error == ENETUNREACH; }, Outcome::network_unreachable},
    {[](const Facts& f) { return f.error == EADDRNOTAVAIL; }, Outcome::no_local_port},
    {[](const Facts& f) { return f.error == EACCES || f.error == EPERM; }, Outcome::denied},
    {[](const Facts& f) { return f.error != 0; }, Outcome::other},
    // connect() itself took the attempt back before a SYN left: there was no port to send it from.
    {[](const Facts& f) { return f.role == Role::client && !f.syn_was_sent && !f.application_closed; },
     Outcome::no_local_port},
    {[](const Facts& f) { return f.role == Role::client && (f.application_closed || f.ended_by_call); },
     Outcome::abandoned},
    {[](const Facts&) { return true; }, Outcome::other},
};

struct EndRule {
    bool (*applies)(const Facts&);
    End end;
};

constexpr EndRule end_rules[] = {
    {[](const Facts& f) { return f.end_missed; }, End::unspecified},
    {[](const Facts& f) { return !f.established; }, End::not_established},
    // Seen at the change to CLOSE; the errors that tcp_disconnect() leaves come after it.
    {[](const Facts& f) { return f.local_abort; }, End::local_reset},
    {[](const Facts& f) { return f.error == ECONNABORTED; }, End::killed},
    {[](const Facts& f) { return f.reset == ResetDirection::received; }, End::remote_reset},
    {[](const Facts& f) { return !is_orderly(f) && is_reset_error(f.error); }, End::remote_reset},
    {[](const Facts& f) { return !is_orderly(f) && f.error && f.all_acknowledged; }, End::keepalive_timeout},
    {[](const Facts& f) { return !is_orderly(f) && f.error; }, End::retransmit_timeout},
    {[](const Facts& f) { return f.reset == ResetDirection::sent; }, End::local_reset},
    {[](const Facts& f) { return f.passed_closing; }, End::simultaneous_close},
    {[](const Facts& f) { return f.passed_fin_wait1; }, End::local_close},
    {[](const Facts& f) { return f.passed_close_wait; }, End::remote_close},
    {[](const Facts&) { return true; }, End::unspecified},
};

}  // namespace

Facts facts_of(const tcptrail_record& record) {
    const tcptrail_birth& birth = record.birth;
    const tcptrail_socket& socket = record.socket;
    Facts f;
    f.role = static_cast<Role>(birth.role);
    f.state = birth.state;
    if (f.role == Role::unspecified && f.state == tcp_syn_sent) f.role = Role::client;
    f.established = birth.flags & TCPTRAIL_BIRTH_ESTABLISHED || is_after_established(birth.state);
    f.end_missed = record.flags & TCPTRAIL_RECORD_END_MISSED;
    f.error = socket.error;
    // What was reported on the way to a connection ended the attempt, also when the application has fetched
    // it since; later it may have been a passing trouble (IP_RECVERR).
    if (!f.error && !f.established) f.error = birth.reported_error;
    f.syn_was_sent = socket.segments_out != 0;
    f.application_closed = socket.shutdown != 0;
    f.ended_by_call = birth.flags & (TCPTRAIL_BIRTH_ENDED_BY_OWNER | TCPTRAIL_BIRTH_ENDED_BY_OTHER);
    f.local_abort = birth.flags & TCPTRAIL_BIRTH_ENDING;
    if (birth.reset_state == birth.state) f.reset = static_cast<ResetDirection>(birth.reset_direction);
    f.fin_received = record.flags & TCPTRAIL_RECORD_FIN_RECEIVED;
    f.orphan = record.flags & TCPTRAIL_RECORD_ORPHAN;
    f.all_acknowledged = record.trouble.send_queue == 0;
    // The timeline of a connection that began before the capture is empty: its last state tells the same.
    const auto pass = [&f](uint8_t state) {
        f.passed_fin_wait1 |= (state == tcp_fin_wait1 || state == tcp_fin_wait2) && !f.passed_close_wait;
        f.passed_close_wait |= (state == tcp_close_wait || state == tcp_last_ack) && !f.passed_fin_wait1;
        f.passed_closing |= state == tcp_closing;
    };
    for (unsigned i = 0; i < birth.timeline_len; ++i)
        pass(birth.timeline[i] & 0xf);
    pass(birth.state);
    return f;
}

Outcome outcome_of(const Facts& facts) {
    for (const OutcomeRule& rule : outcome_rules)
        if (rule.applies(facts)) return rule.outcome;
    return Outcome::unspecified;
}

End end_of(const Facts& facts) {
    for (const EndRule& rule : end_rules)
        if (rule.applies(facts)) return rule.end;
    return End::unspecified;
}

int error_of(const Facts& facts, Outcome outcome, End end) {
    if (outcome == Outcome::no_local_port) return EADDRNOTAVAIL;
    if (outcome == Outcome::abandoned || outcome == Outcome::unspecified) return 0;
    switch (end) {
        case End::not_established:
        case End::remote_reset:
        case End::retransmit_timeout:
        case End::keepalive_timeout:
        case End::killed:
            return facts.error;
        default:
            return 0;
    }
}

}  // namespace tcptrail::connections
