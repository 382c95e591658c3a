// SPDX-License-Identifier: Apache-2.0
//
// What a record must say, field by field.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <vector>

#include "tests/kernel/actors.h"
#include "tests/kernel/event.h"
#include "tests/kernel/sockets.h"

namespace tcptrail::test {

// The expected CLOSED record. Begins as that of an ordinary connection in which nothing was sent and
// nothing went wrong; a test says what its case makes different. A field that has no rule must be
// absent, so each record is checked as a whole.
class Record {
public:
    // A client's and a server's end that were established.
    static Record client(const Actor& owner, const Endpoint& local, const Endpoint& remote);
    static Record server(const Actor& owner, const Endpoint& local, const Endpoint& remote);

    // A client's attempt that was not: state SYN_SENT, nothing but SYNs on the wire. A local port of
    // 0: any but 0.
    static Record failed(const Actor& owner, const std::string& local_address, const Endpoint& remote,
                         const std::string& outcome);

    // Rules. The last one for a field holds.
    Record& is(const std::string& field, const std::string& value);
    Record& is(const std::string& field, const char* value) { return is(field, std::string(value)); }
    template <std::integral Value>
    Record& is(const std::string& field, Value value) {
        if constexpr (std::same_as<Value, bool>) return is(field, value ? "true" : "false");
        return is(field, std::to_string(value));
    }
    Record& one_of(const std::string& field, std::initializer_list<std::string> values);
    Record& between(const std::string& field, uint64_t low, uint64_t high);  // both included
    Record& contains(const std::string& field, const std::string& part);
    Record& present(const std::string& field);
    Record& absent(const std::string& field);
    Record& any(const std::string& field);             // the case does not determine it
    Record& zero_or_absent(const std::string& field);  // nothing to count, or not counted here

    // The states that the timeline has, from the first to the last before CLOSE; CLOSE itself may
    // follow. Sets `state` to the last one.
    Record& timeline(std::initializer_list<std::string> states);

    // Payload in each direction, all of it acknowledged and read.
    Record& traffic(uint64_t sent, uint64_t received);

    Record& ended(const std::string& end);
    Record& ended_by(const Actor& actor);
    Record& ended_by(pid_t pid, const std::string& name);

    // A reset, in a state. `reason`: part of the kernel's name for it, on kernels that give one to a
    // reset that is sent.
    Record& reset_sent(const std::string& state, const std::string& reason = "");
    Record& reset_received(const std::string& state);

    Record& error(int number);

    // What getsockopt(TCP_INFO) said when the connection still was open and what the end of it, a FIN
    // and its acknowledgement, does not change.
    Record& measured(const tcp_info& before_end);

    // All of TCP_INFO: for a connection that a reset ends, which changes nothing else. `resets_in`:
    // segments that came after it.
    Record& measured_exactly(const tcp_info& before_end, uint64_t resets_in);

    // `partial` of the record; none unless a test says so.
    Record& partial(std::initializer_list<std::string> reasons);

    // Each rule that the event breaks, one per line; empty if there is none. Also checks what every
    // record must keep: the order of its times and what follows from what.
    std::string differences(const Event& event) const;

private:
    struct Rule {
        std::string expected;                                         // for people
        std::function<bool(const Event&, const std::string&)> holds;  // event, field
    };

    Record(const Actor& owner, const std::string& role, const Endpoint& remote);
    Record& established(const Endpoint& local);
    Record& rule(const std::string& field, std::string expected,
                 std::function<bool(const Event&, const std::string&)> holds);

    std::map<std::string, Rule> rules_;
    std::vector<std::string> states_;
    std::vector<std::string> partial_;
    uint64_t earliest_unix_nanos_;
};

// Whether this kernel names the reason of a reset that it sends (Linux 6.10 and later).
bool kernel_names_resets();

}  // namespace tcptrail::test
