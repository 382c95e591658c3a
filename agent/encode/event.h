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
#include "schemas/v1/connection.pb.h"

namespace tcptrail::encode {

// Used by the capture thread alone.
class EventEncoder {
public:
    // `last_sequence`: of the events of this run that were told before.
    explicit EventEncoder(const context::Host& host, uint64_t last_sequence = 0);

    // The next event of the run: takes the next sequence number. Valid until the next call.
    const v1::ConnectionEvent& encode(const connections::Connection& connection,
                                      const context::Identity& identity, uint64_t now_unix_nanos);
    uint64_t last_sequence() const { return sequence_; }

private:
    v1::ConnectionEvent event_;
    uint64_t sequence_ = 0;
    std::string host_and_boot_;
};

// The record for Kafka. The key is the same for both ends of a connection, so that they share a partition.
Message to_message(const v1::ConnectionEvent& event);

// "192.0.2.1", "2001:db8::1", "fe80::1%4": RFC 5952, with the interface's index as zone of a link-local one.
std::string address_text(const connections::Endpoint& endpoint, bool ipv6, uint32_t ifindex);

}  // namespace tcptrail::encode
