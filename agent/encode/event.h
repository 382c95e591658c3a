// SPDX-License-Identifier: Apache-2.0
//
// From a connection to the message of the stream.
#pragma once

#include <cstdint>
#include <string>

#include "agent/connections/connection.h"
#include "agent/context/context.h"
#include "agent/context/host.h"
#include "agent/encode/message.h"
#include "agent/encode/wire.h"
#include "schemas/v1/connection.pb.h"

namespace tcptrail::encode {

// Names one boot of one host among all, as well as 48 bits can.
uint64_t boot_number(const std::string& host_id, const std::string& boot_id);

// Names one attempt to connect, as it is seen from one of its ends: 32 hexadecimal digits, of which 12 are
// the boot's, 10 the socket's cookie's and 10 those of the attempt's birth in nanoseconds of the boot clock,
// of each the low ones. A cookie is given once in a boot (since 5.10; before, once in a network namespace),
// and two attempts of one socket cannot begin in the same nanosecond. Not a hash of all that: a random number
// is what a spool full of events would mostly consist of.
std::string connection_id(uint64_t boot, uint64_t cookie, uint64_t birth_ns);

// Used by the capture thread alone.
class EventEncoder {
public:
    // `last_sequence`: of the events of this run that were told before.
    explicit EventEncoder(const context::Host& host, uint64_t last_sequence = 0);

    // The next event of the run, as the record for Kafka: takes the next sequence number. Valid until the
    // next call. Written without an object of the schema, which would cost four times as much.
    Message& encode_message(const connections::Connection& connection, const context::Identity& identity,
                            uint64_t now_unix_nanos);
    // The same as an object, for who wants to look into it.
    const v1::ConnectionEvent& encode(const connections::Connection& connection,
                                      const context::Identity& identity, uint64_t now_unix_nanos);
    uint64_t last_sequence() const { return sequence_; }

private:
    WireWriter writer_;
    std::string host_;  // its fields, the same in all events
    Message message_;
    v1::ConnectionEvent event_;
    uint64_t sequence_ = 0;
    uint64_t boot_;
};

// The record for Kafka of an event that is an object. The key is the same for both ends of a connection, so
// that they share a partition.
Message to_message(const v1::ConnectionEvent& event);

// "192.0.2.1", "2001:db8::1", "fe80::1%4": RFC 5952, with the interface's index as zone of a link-local one.
std::string address_text(const connections::Endpoint& endpoint, bool ipv6, uint32_t ifindex);

}  // namespace tcptrail::encode
